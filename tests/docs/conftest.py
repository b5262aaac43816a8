"""A project with an environment of its own, in which the pages of the documentation are followed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg import conninfo, sql

from tests.docs.pages import DOCS, Project, environment

REPOSITORY = DOCS.parent

#: What an ordinary project has before the tutorial begins.
DATABASES = """
import os
from psycopg.conninfo import conninfo_to_dict

_parts = conninfo_to_dict(os.environ["DATABASE_URL"])
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": _parts.pop("dbname")} | {
    key.upper(): _parts.pop(key) for key in ("host", "port", "user", "password") if key in _parts
}}
"""


@pytest.fixture(scope="session")
def environment_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which every dependency is installed, but not this package."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, capture_output=True)
    installed = folder / "installed"
    installed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "lockstep" not in entry.name and entry.suffix != ".pth":
            (installed / entry.name).symlink_to(entry)
    python = folder / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(site) / "installed.pth").write_text(f"{installed}\n")
    return python


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package as a wheel, where pip finds it by its name."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def databases() -> Iterator[Callable[[str | None], str]]:
    """Makes databases on the tests' server, empty or as a copy, and drops them in the end."""
    entry = settings.DATABASES["default"]
    place = {
        "host": entry["HOST"],
        "port": entry["PORT"],
        "user": entry["USER"],
        "password": entry["PASSWORD"],
    }
    given = {key: str(value) for key, value in (place | entry.get("OPTIONS", {})).items() if value}
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"docs_{uuid.uuid4().hex[:12]}"
        source = conninfo.conninfo_to_dict(template)["dbname"] if template else "template1"
        with psycopg.connect(dbname="template1", autocommit=True, **given) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(str(source))
                )
            )
        made.append(name)
        return conninfo.make_conninfo(dbname=name, **given)

    yield make
    with psycopg.connect(dbname="template1", autocommit=True, **given) as connection:
        for name in made:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture(scope="session")
def start(
    tmp_path_factory: pytest.TempPathFactory,
    environment_of_its_own: Path,
    wheelhouse: Path,
    databases: Callable[[str | None], str],
) -> Callable[[], Project]:
    """Starts a fresh project with one app and an empty database."""

    def start() -> Project:
        variables = environment(environment_of_its_own, databases(None))
        variables |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheelhouse),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        project = Project(tmp_path_factory.mktemp("helpdesk"), environment_of_its_own, variables)
        project.shell("python -m django startproject helpdesk . && python manage.py startapp shop", "start")
        project.write("helpdesk/settings.py", DATABASES + 'INSTALLED_APPS += ["shop"]\n', append=True)
        return project

    return start


@pytest.fixture(scope="session")
def after_tutorial(start: Callable[[], Project]) -> Project:
    """A fresh project in which the tutorial was followed to its end."""
    project = start()
    project.follow(DOCS / "tutorial" / "first-search.md")
    return project


@pytest.fixture
def project(after_tutorial: Project, tmp_path: Path, databases: Callable[[str | None], str]) -> Project:
    """A copy of the tutorial's project, code and data."""
    folder = tmp_path / "helpdesk"
    shutil.copytree(after_tutorial.folder, folder)
    url = databases(after_tutorial.environment["DATABASE_URL"])
    return Project(folder, after_tutorial.python, after_tutorial.environment | {"DATABASE_URL": url})
