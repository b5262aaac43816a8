"""``bin/lint``: style, types, import order and hygiene, all of them even when one has something to say."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = Path(sys.executable).parent


def checks(*, fix: bool) -> dict[str, list[str]]:
    """Name and command line of each check, in the order in which they run."""
    ruff = str(PROGRAMS / "ruff")
    return {
        "ruff check": [ruff, "check", *(["--fix"] if fix else [])],
        "ruff format": [ruff, "format", *([] if fix else ["--check"])],
        "mypy": [str(PROGRAMS / "mypy")],
        "lint-imports": [str(PROGRAMS / "lint-imports"), "--no-logo"],
        "hygiene": [sys.executable, "-m", "tools.hygiene"],
    }


def main(arguments: Sequence[str]) -> int:
    """1 when a check found something."""
    failed = []
    for name, command in checks(fix="--fix" in arguments).items():
        print(f"== {name}", flush=True)
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    print(f"Lint: {', '.join(failed)} failed." if failed else "Lint: all clean.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
