"""``bin/test``: the tests, on a PostgreSQL of their own."""

import fcntl
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import chromium, pgbouncer
from tools.services.exceptions import ServiceError
from tools.services.session import run

CHECKOUT = Path(__file__).resolve().parents[1]

HELP = """\
bin/test [pytest arguments]      all tests in two processes; with a path or -k, those in one
bin/test --mutants [name ...]    break each promise on purpose and see its test turn red

DATABASE_URL=...   use that PostgreSQL (pgvector >= 0.8; a role that may create databases)
KEEP=1             leave the test server running, for a faster start of the next run
LOCKSTEP_DATA=...  folder of labelled collections; without it those tests are skipped
"""

ONE_PROCESS = ("-k", "-n", "-s", "--pdb", "--lf", "--last-failed", "--sw", "--collect-only", "--co", "-p")
"""Options of pytest with which the whole suite is not what is asked for, or more processes are in the way."""


def is_whole_suite(arguments: Sequence[str]) -> bool:
    """Neither a path, nor an option that chooses or that wants to be in front of a person."""
    return not any(part.startswith(ONE_PROCESS) or is_path(part) for part in arguments)


def is_path(argument: str) -> bool:
    """Whether it names tests, and is no option or the value of one."""
    return not argument.startswith("-") and (CHECKOUT / argument.partition("::")[0]).exists()


@contextmanager
def test_database() -> Iterator[None]:
    """Name a test database that no other bin/test of this checkout uses now, the same as last time if it can be.

    The lock on its file goes with this process, however it ends.
    """
    folder = CHECKOUT / ".lockstep"
    folder.mkdir(exist_ok=True)
    for number in itertools.count():
        with (folder / f"tests-{number}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            os.environ.setdefault("LOCKSTEP_TEST_DATABASE", f"test_lockstep_{number}")
            yield
            return


def main(arguments: Sequence[str]) -> int:
    """Exit status of pytest; 3 when there is no PostgreSQL."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(HELP)
        return 0
    if "--mutants" in arguments:
        command = ["-m", "tools.mutants", *(part for part in arguments if part != "--mutants")]
    else:
        chromium.install_in_ci()
        pgbouncer.install_in_ci()
        spread = ["-n", "2", "--dist", "loadscope"] if is_whole_suite(arguments) else []
        command = ["-m", "pytest", *spread, *arguments]
    try:
        with test_database():
            return run("test", [sys.executable, *command])
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
