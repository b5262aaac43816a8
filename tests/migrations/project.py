"""A throw-away Django project in a folder and a database of its own, driven by real ``manage.py`` commands."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
import os
from psycopg.conninfo import conninfo_to_dict
place = conninfo_to_dict(os.environ["PROJECT_DATABASE"])
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": place.pop("dbname"), "USER": place.pop("user", ""),
    "PASSWORD": place.pop("password", ""), "HOST": place.pop("host", ""), "PORT": place.pop("port", ""),
    "OPTIONS": place}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "lockstep.core", "lockstep.search", *APPS]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "throw-away"
USE_TZ = True
LOCKSTEP = {"search": {"embedders": {"default": {
    "BACKEND": "lockstep.search.embedders.hashing.Hashing", "OPTIONS": {"dimensions": 64}}}}}
"""

MODELS = """
from django.db import models
from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet

"""


def manage(*commands: tuple[str, ...]) -> None:
    """``manage.py`` once for each command, with warnings as errors."""
    from django.core.management import execute_from_command_line

    warnings.simplefilter("error")
    for command in commands:
        execute_from_command_line(["manage.py", *command])


class Project:
    """Apps are written as text; ``manage`` runs commands in a subprocess, with warnings as errors."""

    def __init__(self, folder: Path, database: str, apps: tuple[str, ...] = ("shop",)) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.database = database
        self.settings(f"APPS = {apps!r}\n{SETTINGS}")
        for app in apps:
            (folder / app / "migrations").mkdir(parents=True)
            (folder / app / "__init__.py").touch()
            (folder / app / "migrations" / "__init__.py").touch()

    def settings(self, text: str) -> None:
        (self.folder / "settings.py").write_text(text)

    def add_settings(self, text: str) -> None:
        with (self.folder / "settings.py").open("a") as file:
            file.write(f"{dedent(text)}\n")

    def models(self, text: str, app: str = "shop") -> None:
        (self.folder / app / "models.py").write_text(MODELS + dedent(text))

    def migration(self, name: str, text: str, app: str = "shop") -> None:
        (self.folder / app / "migrations" / f"{name}.py").write_text(dedent(text))

    def migrations(self, app: str = "shop") -> list[str]:
        return sorted(path.stem for path in (self.folder / app / "migrations").glob("0*.py"))

    def manage(self, *command: str, **options: Any) -> str:
        """Output of one command; see ``commands``."""
        return self.commands(command, **options)

    def commands(
        self, *commands: tuple[str, ...], answers: str = "", fails: bool = False, **environment: str
    ) -> str:
        """Output of some commands, one after the other in one process, errors included.

        Raises:
            AssertionError: it failed, or did not where it should.
        """
        output = self.folder / "output.txt"
        output.unlink(missing_ok=True)
        status = run(
            manage, *commands, folder=self.folder, environment=self.environment() | environment,
            output=output, answers=answers, timeout_s=1800,
        )  # fmt: skip
        text = output.read_text()
        assert (status != 0) is fails, f"{commands}\n{text}"
        return text

    def python(self, code: str, **options: Any) -> str:
        """What a script prints that may use the models as ``shop.models``."""
        return self.commands(shell(code), **options).strip()

    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "settings",
            "PROJECT_DATABASE": self.database,
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def migrate_to(self, models: str, *, answers: str = "", app: str = "shop") -> str:
        """Change the models, make the migration, apply it, and see that nothing is left to make."""
        self.models(models, app)
        make = ("makemigrations",) if answers else ("makemigrations", "--noinput")
        return self.commands(make, ("migrate", "-v0"), NOTHING_LEFT, answers=answers)

    def fill(self, models: str, code: str) -> None:
        """The first migration of an app, then records."""
        self.models(models)
        self.commands(("makemigrations", "-v0"), ("migrate", "-v0"), NOTHING_LEFT, shell(code))

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as link:
            cursor = link.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def stale(self, *commands: tuple[str, ...], model: str = "shop.Article", before: str = "") -> list[str]:
        """Run some commands, then code; what the oracle then says about every index of a model."""
        code = f"""
            import json
            from django.apps import apps
            from tests.search.oracle import problems
            print(json.dumps(problems(apps.get_model("{model}"))))
        """
        output = self.commands(*commands, *([shell(before)] if before else []), shell(code))
        found: list[str] = json.loads(output.splitlines()[-1])
        return found


NOTHING_LEFT = ("makemigrations", "--check", "--dry-run")


def shell(code: str) -> tuple[str, ...]:
    """The command that runs a script."""
    return ("shell", "--no-imports", "-v0", "-c", dedent(code))


def server_url(database: str) -> str:
    """The server that the tests run on, another database."""
    settings = connection.settings_dict
    parts = {"dbname": database, "user": settings["USER"], "password": settings["PASSWORD"]}
    parts |= {"host": settings["HOST"], "port": settings["PORT"]}
    return psycopg.conninfo.make_conninfo(**{key: str(value) for key, value in parts.items() if value})


@contextmanager
def fresh_database(name: str, template: str = "template1") -> Iterator[str]:
    """A copy of a database, by default an empty one, gone afterwards. Gives the URL."""
    with psycopg.connect(server_url("postgres"), autocommit=True) as link:
        drop_database(link, name)
        link.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
        try:
            yield server_url(name)
        finally:
            drop_database(link, name)


def drop_database(link: psycopg.Connection[Any], name: str) -> None:
    """Drop it whoever is connected. Autovacuum, which only a superuser may end, is waited for."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(100):
        try:
            link.execute(drop)
            return
        except psycopg.errors.InsufficientPrivilege:
            time.sleep(0.2)
    link.execute(drop)
