"""Payloads at any distance from their last day, put there the way only the owner of the tables can."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from lockstep.core.redacted import SEAL, Redacted
from lockstep.privacy import payloads

__all__ = ["TABLE", "day_of", "kept", "partitions", "put", "redacted"]

TABLE = "lockstep_privacy_payload"


def redacted(text: str) -> Redacted:
    """As a redactor makes it."""
    return Redacted(text, seal=SEAL, counts={"NHS": 1}, version="pack 1")


def kept(lifetime: timedelta | None = None, **more: Any) -> str:
    """A payload written as the application writes it. Returns its call."""
    call = str(uuid.uuid4())
    payloads.keep(call, redacted("my number is [NHS_1]"), redacted("noted"), lifetime=lifetime, **more)
    return call


def put(days: float, *, count: int = 1, subject: str = "", text: str = "expired content") -> list[str]:
    """Rows that expire in so many days from now; negative: that have. Only the owner can, with row security off."""
    expires = datetime.now(UTC) + timedelta(days=days)
    calls = [str(uuid.uuid4()) for _ in range(count)]
    with connection.cursor() as cursor:
        make_partition(cursor, expires)
        cursor.execute(f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY")
        cursor.execute(
            f"INSERT INTO {TABLE} (call, at, expires_at, feature, subject, policy, detectors, request, response,"
            " entities, encryption) SELECT call::uuid, %s, %s, 'support.answer', %s, 'redact', '', %s, '', '{}', ''"
            " FROM unnest(%s::text[]) AS call",
            [expires - timedelta(days=30), expires, subject, text, calls],
        )
        cursor.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    return calls


def make_partition(cursor: Any, moment: datetime) -> None:
    """Partition of any day, guarded like the others."""
    cursor.execute("SELECT lockstep_core_partition_name_v1(%s, %s)", [TABLE, moment])
    name = cursor.fetchone()[0]
    cursor.execute("SELECT to_regclass(%s) IS NULL", [name])
    if cursor.fetchone()[0]:
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        cursor.execute("SELECT lockstep_core_guard_v1(%s, %s)", [TABLE, name])
        day = moment.astimezone(UTC).date()
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{day} 00:00+00')"
            f" TO ('{day + timedelta(days=1)} 00:00+00')"
        )


def day_of(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d")


def partitions() -> list[str]:
    """Names of the partitions, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM lockstep_core_partitions_v1(%s)", [TABLE])
        return [name for (name,) in cursor.fetchall()]
