"""How retention stands: figures that a person or a monitor can hold it to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge

__all__ = ["LATE", "Evidence", "evidence"]

LATE = timedelta(hours=25)
"""After so long without a purge somebody ought to look."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One table that expires."""

    table: str
    keep: timedelta
    most: timedelta
    rows: int
    """That this role can read."""
    oldest: datetime | None
    """Beginning of the oldest of them."""
    expired_visible: int
    """Rows past their time that can be read and no hold keeps: must be 0."""
    partitions: int
    expired_partitions: int
    """Days that have expired and still take up disk."""
    unguarded: tuple[str, ...]
    """Partitions, or the table, that row security does not guard: must be empty."""
    bytes_on_disk: int
    holds: int
    """Holds in force that may concern it."""
    held: int
    """Rows past their time that a hold keeps readable."""
    swept_at: datetime | None
    last_purge: Purge | None

    @property
    def is_late(self) -> bool:
        """Whether nobody purges."""
        return self.expired_partitions > 0 and (
            self.swept_at is None or self.swept_at < timezone.now() - LATE
        )

    @property
    def leaks(self) -> bool:
        """Whether something that has expired can be read, or could be."""
        return bool(self.expired_visible or self.unguarded)


def evidence(table: str, using: str) -> Evidence:
    """Count, as the role that asks: a superuser sees what has expired, and gets told so."""
    row = ExpiringTable.objects.using(using).get(pk=table)
    connection = connections[using]
    quote = connection.ops.quote_name
    expires, begins = quote(row.expires_column), quote(row.begins_column)
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_core_held_v1(%s, %s)", [table, table])
        held = cursor.fetchone()[0].replace("%", "%%")
        cursor.execute(
            f"SELECT count(*), min({begins}), count(*) FILTER (WHERE {expires} <= statement_timestamp() AND {held}),"
            f" count(*) FILTER (WHERE {expires} <= statement_timestamp() AND NOT {held}) FROM {quote(table)}"
        )
        rows, oldest, kept, visible = cursor.fetchone()
        cursor.execute(
            "SELECT count(*), coalesce(sum(pg_total_relation_size(relation)), 0) FROM lockstep_core_partitions_v1(%s)",
            [table],
        )
        partitions, size = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM lockstep_core_due_v1(%s)", [table])
        (due,) = cursor.fetchone()
        bare = unguarded(cursor, table)
    holds = LegalHold.objects.using(using).in_force().filter(table_name__in=["", table])
    return Evidence(
        table=table, keep=row.keep, most=row.most, rows=rows, oldest=oldest, expired_visible=visible,
        partitions=partitions, expired_partitions=due, unguarded=bare, bytes_on_disk=int(size), holds=holds.count(),
        held=kept, swept_at=row.swept_at,
        last_purge=Purge.objects.using(using).filter(table_name=table).order_by("-id").first(),
    )  # fmt: skip


def unguarded(cursor: Any, table: str) -> tuple[str, ...]:
    """The table and those of its partitions that lack row security, its force, or one of the policies."""
    cursor.execute(
        """
        WITH every AS (
            SELECT to_regclass(quote_ident(%s))::oid AS oid
            UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(%s)))
        SELECT c.relname FROM every JOIN pg_class AS c USING (oid)
        WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity) OR 4 <> (
            SELECT count(*) FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT p.polpermissive AND (p.polname, p.polcmd)
                IN (('lockstep_unexpired', 'r'), ('lockstep_lifetime', 'a'), ('lockstep_unrevived', 'w'),
                    ('lockstep_erasable', 'd')))
        ORDER BY 1
        """,
        [table, table],
    )
    return tuple(name for (name,) in cursor.fetchall())
