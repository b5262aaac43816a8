"""The tests of an ordinary project pass unchanged with search installed, whichever way they are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.migrations.project import drop_database, server_url

PROJECT = Path(__file__).resolve().parents[1] / "sample_project"

DJANGO = ["manage.py", "test", "--noinput"]
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
# "migrated": as without us, a database that is kept has lost to a flush what its migrations had brought
WAYS: dict[str, list[list[str]]] = {
    "django": [DJANGO],
    "django in parallel": [[*DJANGO, "--parallel", "2", "--shuffle", "7"]],
    "django in parallel, databases kept": [
        [*DJANGO, "--parallel", "2", "--keepdb", "--shuffle", "7", "--exclude-tag", "migrated"]
    ]
    * 2,
    "pytest in parallel": [[*PYTEST, "-n", "2", "--dist", "loadfile"]],
    "pytest, database kept": [[*PYTEST, "shop/pytest_suite.py", "--reuse-db", "-m", "not migrated"]] * 2,
}


@pytest.fixture
def database(db: None) -> Iterator[str]:
    """A name for the project's test databases, all of which are gone afterwards."""
    name = f"sample_{os.getpid()}"
    yield name
    with closing(psycopg.connect(server_url("postgres"), autocommit=True)) as link:
        for left in databases(name):
            drop_database(link, left)


def databases(name: str) -> list[str]:
    with closing(psycopg.connect(server_url("postgres"))) as link:
        found = link.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [f"test_{name}"]
        )
        return [row[0] for row in found]


def python(*arguments: str, database: str) -> str:
    """What Python says that is started in the project's folder, as its author would."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=inherited | {
            "DATABASE_URL": server_url("postgres"),
            "DJANGO_SETTINGS_MODULE": "sample.settings",
            "SAMPLE_DATABASE": database,
            "PYTHONWARNINGS": "error",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.mark.parametrize("way", WAYS)
def test_the_tests_of_an_ordinary_project_pass(way: str, database: str) -> None:
    for arguments in WAYS[way]:
        said = python(*arguments, database=database)
        ran = re.search(r"Ran (\d+) tests|(\d+) passed", said)
        assert ran is not None, said
        assert int(ran[1] or ran[2]) >= 9, said
    assert bool(databases(database)) is ("kept" in way)


def test_its_migrations_are_complete(database: str) -> None:
    assert "No changes detected" in python(
        "manage.py", "makemigrations", "--check", "--dry-run", database=database
    )
