"""How retention stands: figures that a person or a monitor can hold it to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge

__all__ = ["LATE", "Evidence", "days", "evidence", "facts", "size", "unbound_role"]

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
    next_expiry: datetime | None
    """When the next of them goes."""
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
    proof: str
    """The statement that found ``expired_visible``: whoever doubts it runs it."""

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
        held = cursor.fetchone()[0]
        cursor.execute(
            f"SELECT count(*), min({begins}), min({expires}) FILTER (WHERE {expires} > statement_timestamp())"
            f" FROM {quote(table)}"
        )
        rows, oldest, next_expiry = cursor.fetchone()
        past = f"SELECT count(*) FROM {quote(table)} WHERE {expires} <= statement_timestamp() AND"
        proof = f"{past} NOT {held}"
        cursor.execute(f"SELECT ({past} {held}), ({proof})", None)
        kept, visible = cursor.fetchone()
        cursor.execute(
            "SELECT count(*), coalesce(sum(pg_total_relation_size(relation)), 0) FROM lockstep_core_partitions_v1(%s)",
            [table],
        )
        partitions, on_disk = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM lockstep_core_due_v1(%s)", [table])
        (due,) = cursor.fetchone()
        bare = unguarded(cursor, table)
    holds = LegalHold.objects.using(using).in_force().filter(table_name__in=["", table])
    return Evidence(
        table=table, keep=row.keep, most=row.most, rows=rows, oldest=oldest, next_expiry=next_expiry,
        expired_visible=visible, proof=proof, partitions=partitions, expired_partitions=due, unguarded=bare,
        bytes_on_disk=int(on_disk), holds=holds.count(),
        held=kept, swept_at=row.swept_at,
        last_purge=Purge.objects.using(using).filter(table_name=table).order_by("-id").first(),
    )  # fmt: skip


def facts(one: Evidence) -> list[tuple[str, object]]:
    """The same in words, for the command and for people."""
    purged = one.last_purge
    return [
        ("kept", f"{days(one.keep)}, {days(one.most)} at most"),
        ("rows", one.rows),
        ("oldest row", _moment(one.oldest, "-")),
        ("next expiry", _moment(one.next_expiry, "-")),
        ("expired, readable", one.expired_visible),
        ("not guarded", ", ".join(one.unguarded) or "-"),
        ("partitions", f"{one.partitions}, {one.expired_partitions} to drop, {size(one.bytes_on_disk)}"),
        ("holds", f"{one.holds}, {one.held} rows past their time"),
        ("last sweep", _moment(one.swept_at, "never")),
        ("last purge", f"{_moment(purged.at, '')}, {purged}, by {purged.by}" if purged else "never"),
    ]


def days(span: timedelta) -> str:
    count = f"{span / timedelta(days=1):g}"
    return f"{count} day{'' if count == '1' else 's'}"


def size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def unbound_role(using: str) -> str:
    """The role that asks, if row security does not bind it: what it counts is no evidence. Empty otherwise."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
        )
        found = cursor.fetchone()
    return found[0] if found else ""


def _moment(at: datetime | None, otherwise: str) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else otherwise


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
