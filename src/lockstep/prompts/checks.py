"""System checks of prompts. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from lockstep.prompts.conf import settings
from lockstep.prompts.exceptions import FileError
from lockstep.prompts.files import find_all
from lockstep.prompts.sql.versions import TABLES
from lockstep.prompts.sync import drift

__all__ = ["check_drift", "check_files"]


def check_files(**_: Any) -> list[CheckMessage]:
    """E001: a prompt file cannot be read."""
    try:
        find_all()
    except FileError as error:
        return [
            Error(str(error), hint="Correct the file; see docs/howto/prompts.md.", id="lockstep_prompts.E001")
        ]
    except ImproperlyConfigured:  # lockstep_core.E001 says so
        pass
    return []


def check_drift(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """W001 to W003: files and database disagree; the record can be changed; the environment is another."""
    try:
        using = settings().database
    except ImproperlyConfigured:
        return []
    if using not in (databases or []) or connections[using].vendor != "postgresql":
        return []
    if not set(TABLES) <= set(connections[using].introspection.table_names()):
        return []  # not migrated yet
    try:
        found: list[CheckMessage] = [
            Caution(item.text, hint=item.hint, obj=item.prompt, id="lockstep_prompts.W001")
            for item in drift()
        ]
    except FileError:
        return []  # E001
    return found + _check_guards(using) + _check_environment(using)


def _check_guards(using: str) -> list[CheckMessage]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM unnest(%s::text[]) AS name JOIN pg_class AS c ON c.oid = to_regclass(name)"
            " WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid"
            " AND t.tgname = 'lockstep_append_only' AND t.tgenabled IN ('O', 'A'))",
            [list(TABLES)],
        )
        return [
            Caution(
                f"{table} is not append-only: its trigger is missing or disabled.",
                hint=f"ALTER TABLE {table} ENABLE TRIGGER lockstep_append_only; or migrate lockstep_prompts.",
                obj=table,
                id="lockstep_prompts.W002",
            )
            for (table,) in cursor.fetchall()
        ]


def _check_environment(using: str) -> list[CheckMessage]:
    """The door's connection gets the releases of the environment that the database knows, not of the settings."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(nullif(current_setting('lockstep.environment', true), ''), 'production')"
        )
        (known,) = cursor.fetchone()
    if known == settings().environment:
        return []
    return [
        Caution(
            f"The settings release to {settings().environment!r}, but calls get the releases of {known!r}.",
            hint=f"As the role of this project: ALTER ROLE CURRENT_USER SET lockstep.environment ="
            f" '{settings().environment}'; then reconnect.",
            id="lockstep_prompts.W003",
        )
    ]
