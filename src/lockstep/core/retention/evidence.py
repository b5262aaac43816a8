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
    """The table and those of its partitions that lack row security, its force, or a policy as the others have it."""
    cursor.execute(_UNGUARDED, [table, table, list(POLICIES)])
    return tuple(name for (name,) in cursor.fetchall())


POLICIES = ("lockstep_erasable", "lockstep_lifetime", "lockstep_unexpired", "lockstep_unrevived")

_UNGUARDED = """
WITH every AS (
    SELECT to_regclass(quote_ident(%s))::oid AS oid, true AS is_parent
    UNION ALL SELECT inhrelid, false FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(%s))
), policies AS (
    SELECT every.*, array_agg(p.polname::text ORDER BY p.polname) AS names,
           bool_and(concat(pg_get_expr(p.polqual, every.oid), pg_get_expr(p.polwithcheck, every.oid))
               LIKE '%%statement_timestamp()%%') AS clocked,
           string_agg(concat_ws(' ', p.polname, p.polcmd, p.polroles, pg_get_expr(p.polqual, every.oid),
                                pg_get_expr(p.polwithcheck, every.oid)), ';' ORDER BY p.polname) AS said
    FROM every LEFT JOIN pg_policy AS p ON p.polrelid = every.oid AND NOT p.polpermissive
                                        AND p.polname LIKE 'lockstep\\_%%'
    GROUP BY every.oid, every.is_parent
)
SELECT c.relname FROM policies JOIN pg_class AS c USING (oid)
WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity) OR names IS DISTINCT FROM %s::text[] OR NOT clocked
   OR said IS DISTINCT FROM (SELECT parent.said FROM policies AS parent WHERE parent.is_parent)
ORDER BY 1
"""
