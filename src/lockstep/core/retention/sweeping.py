"""The purge: whole days that have expired are dropped, and days to come get their partitions ahead of time."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import Error, connections, transaction

from lockstep.core.exceptions import LockstepError

__all__ = ["PATIENCE_MS", "TRIES", "Purged", "SweepBusy", "sweep"]

PATIENCE_MS = 500
"""Longest wait for the table, in milliseconds: whoever reads it queues behind us meanwhile."""
TRIES = 40
"""Attempts for one day; some minutes on a table that long transactions are busy with."""
LOCKED = {"55P03", "40P01"}
"""lock_not_available and deadlock_detected: somebody reads, come back later."""


class SweepBusy(LockstepError, TimeoutError):
    """A long transaction reads the table, so that nothing can be dropped. What has expired is hidden all the same."""


@dataclass(frozen=True, slots=True)
class Purged:
    """One day of one table that is gone, as the evidence has it."""

    table: str
    partition: str
    day: date
    rows: int
    held: int
    """Rows that a legal hold kept."""
    size_bytes: int


def sweep(
    table: str,
    using: str,
    *,
    patience_ms: int = PATIENCE_MS,
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Purged]:
    """Drop each day of a table that has expired, oldest first, one transaction a day.

    May be killed at any instant and run in any number of processes.

    Raises:
        SweepBusy: the table could not be had in so many tries.
    """
    while (done := _patiently(table, using, patience_ms, tries, sleep)) is not None:
        yield Purged(
            table, done["partition"], date.fromisoformat(done["day"]), done["rows"], done["held"], done["size_bytes"]
        )  # fmt: skip
    _query(using, "SELECT lockstep_core_swept_v1(%s)", table)


def _patiently(
    table: str, using: str, patience_ms: int, tries: int, sleep: Callable[[float], None]
) -> dict[str, Any] | None:
    for attempt in range(tries):
        try:
            (found,) = _query(using, "SELECT lockstep_core_purge_v1(%s, %s::int)::text", table, patience_ms)
            done: dict[str, Any] | None = json.loads(found) if found else None
            return done
        except Error as error:
            if getattr(error.__cause__, "sqlstate", None) not in LOCKED:
                raise
            if attempt + 1 == tries:
                raise SweepBusy(
                    f"{table} is in use by a long transaction: {tries} tries of {patience_ms} ms were in vain. What has"
                    " expired is hidden all the same. See pg_stat_activity for who is idle in transaction.",
                    table=table,
                ) from error
        sleep(min(10.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    return None


def _query(using: str, statement: str, *values: Any) -> tuple[Any, ...]:
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(statement, values)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
