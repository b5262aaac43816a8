"""Tables that are kept for long and not for ever: rows that are old enough are deleted, some thousand at a time.

What may not be read a second longer than allowed expires instead (``operations.Expiring``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models, router, transaction
from django.db.models import Count, DateTimeField, ExpressionWrapper, Min, Q, Value
from django.db.models.functions import Now

from lockstep.core import ports
from lockstep.core.ports import Aged
from lockstep.core.retention.evidence import LATE
from lockstep.core.retention.policies import model_of

__all__ = ["EVERY_S", "Age", "age", "aged", "delete_old", "delete_some"]

EVERY_S = 60.0
BATCH = 2_000
"""Rows of one transaction."""
MOST_S = 1.0
"""How long one run of the job goes on, in seconds: two million rows a day, and the next run comes in a minute."""


@dataclass(frozen=True, slots=True)
class Age:
    """How old the rows of a table are."""

    table: str
    keep: timedelta | None
    """None: for ever."""
    oldest: datetime | None
    """Of the rows that go when they are old."""
    overdue: int
    """Rows that are older than that, and still there."""
    is_late: bool
    """Whether nobody deletes them."""


def aged(using: str) -> Iterator[tuple[type[models.Model], Aged]]:
    """The registered tables of a database that are there."""
    present: list[str] | None = None
    for entry in ports.ageing.get().values():
        model = model_of(entry.model)
        if model is None or router.db_for_write(model) != using:
            continue
        present = connections[using].introspection.table_names() if present is None else present
        if model._meta.db_table in present:
            yield model, entry


def delete_old() -> None:
    """A second's worth of every table: the job."""
    for entry in ports.ageing.get().values():
        model = model_of(entry.model)
        if model is not None:
            ends = time.monotonic() + MOST_S
            while delete_some(model, entry) and time.monotonic() < ends:
                pass


def delete_some(model: type[models.Model], entry: Aged) -> int:
    """Delete the oldest of those that are old enough. Rows that somebody uses wait for the next time.

    Returns: how many; 0 when there are no more.
    """
    keep, using = entry.keep(), router.db_for_write(model)
    if keep is None:
        return 0
    with transaction.atomic(using=using):
        old = _rows(model, entry, using).filter(**{f"{entry.at}__lt": _before(keep)})
        keys = list(
            old.order_by(entry.at).select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH]
        )
        if keys:
            models.QuerySet(model, using=using).filter(pk__in=keys).delete()
    return len(keys)


def age(model: type[models.Model], entry: Aged, using: str) -> Age:
    """How things stand."""
    keep, rows = entry.keep(), _rows(model, entry, using)
    if keep is None:
        oldest = rows.aggregate(oldest=Min(entry.at))["oldest"]
        return Age(model._meta.db_table, None, oldest, 0, False)
    old, late = (Q(**{f"{entry.at}__lt": _before(span)}) for span in (keep, keep + LATE))
    found: dict[str, Any] = rows.aggregate(oldest=Min(entry.at))
    found |= rows.filter(old).aggregate(overdue=Count("pk"), late=Count("pk", filter=late))
    return Age(model._meta.db_table, keep, found["oldest"], found["overdue"], found["late"] > 0)


def _rows(model: type[models.Model], entry: Aged, using: str) -> models.QuerySet[Any]:
    rows: models.QuerySet[Any] = models.QuerySet(model, using=using)
    return rows.exclude(**entry.stays) if entry.stays else rows


def _before(span: timedelta) -> ExpressionWrapper[Any]:
    """By the clock of the database."""
    return ExpressionWrapper(Now() - Value(span), output_field=DateTimeField())
