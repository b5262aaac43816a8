"""Lifetimes as the code and the settings say them, and as the database keeps to them."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db import connections, models, router

from lockstep.core import ports
from lockstep.core.retention.conf import lifetimes
from lockstep.core.retention.models import ExpiringTable
from lockstep.core.retention.sql import RECORDS, TRUNCATE_GUARDS
from lockstep.core.testruns import made_by_test_runner

__all__ = ["expiring", "install", "is_installed", "model_of"]


def install(using: str) -> None:
    """After migrate: what the registry and the settings say becomes what the database accepts.

    A shorter limit holds for what is written from now on; rows that are there keep the day they were given.
    """
    connection = connections[using]
    if not is_installed(using):
        return
    _readmit(using)
    for retained in ports.retention.get().values():
        found = lifetimes(retained)
        model = model_of(retained.model)
        if found and model is not None:
            row = ExpiringTable.objects.using(using).filter(table_name=model._meta.db_table)
            row.exclude(keep=found[0], most=found[1]).update(keep=found[0], most=found[1])
    if not made_by_test_runner(connection):
        with connection.cursor() as cursor:
            for statement in TRUNCATE_GUARDS:
                cursor.execute(statement)


def _readmit(using: str) -> None:
    """A flush, as after each ``TransactionTestCase``, empties our table too; the triggers remember what it said."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT t.tgargs FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relkind = 'p'"
            " AND t.tgname = 'lockstep_expiring' AND t.tgfoid = to_regproc('lockstep_core_expiring_v1')"
            " AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND NOT EXISTS"
            " (SELECT FROM lockstep_core_expiringtable AS e WHERE e.table_name = c.relname)"
        )
        for (arguments,) in cursor.fetchall():
            said = [part.decode() for part in bytes(arguments).split(b"\0")[:7]]
            cursor.execute(
                "INSERT INTO lockstep_core_expiringtable (table_name, expires_column, begins_column, key_column,"
                " subject_column, keep, most, swept_by) VALUES (%s, %s, %s, %s, %s, %s, %s, '') ON CONFLICT DO NOTHING",
                said,
            )


def is_installed(using: str) -> bool:
    """Whether the tables of retention are there, and whole; made without migrations they have no functions."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not router.allow_migrate_model(using, ExpiringTable):
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regproc('lockstep_core_record_v1') IS NOT NULL AND bool_and(to_regclass(name) IS NOT NULL)"
            " FROM unnest(%s::text[]) AS name",
            [["lockstep_core_expiringtable", *RECORDS]],
        )
        return bool(cursor.fetchone()[0])


def model_of(label: str) -> type[models.Model] | None:
    try:
        return apps.get_model(label)
    except LookupError:
        return None


def expiring(using: str) -> Iterator[str]:
    """Names of the tables that expire."""
    if is_installed(using):
        yield from ExpiringTable.objects.using(using).values_list("table_name", flat=True)
