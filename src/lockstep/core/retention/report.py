"""Evidence of retention for people and for an auditor's files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Count, Max, Min, Sum
from django.utils import timezone

from lockstep.core.retention.evidence import Evidence, evidence, unbound_role
from lockstep.core.retention.models import Purge
from lockstep.core.retention.policies import expiring

__all__ = ["Dropped", "TableReport", "as_data", "as_rows", "model_of_table", "reports"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """What the purges of a table have given back so far."""

    days: int
    rows: int
    size_bytes: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table that expires, with its past."""

    evidence: Evidence
    label: str
    """Label of its model; empty where no app has one any more."""
    dropped: Dropped

    def purges(self, using: str) -> models.QuerySet[Purge]:
        """Newest first."""
        return Purge.objects.using(using).filter(table_name=self.evidence.table).order_by("-id")


def reports(using: str) -> Iterator[TableReport]:
    """Every table that expires, counted now, as the role that asks."""
    for table in list(expiring(using)):
        model = model_of_table(table)
        yield TableReport(evidence(table, using), model._meta.label if model else "", _dropped(table, using))


def model_of_table(table: str) -> type[models.Model] | None:
    return next((model for model in apps.get_models() if model._meta.db_table == table), None)


def as_data(using: str) -> dict[str, Any]:
    """Everything, with every purge, as JSON has it."""
    return {
        "made_at": timezone.now().isoformat(),
        "database": using,
        "role_that_row_security_does_not_bind": unbound_role(using) or None,
        "tables": [
            _figures(one)
            | {
                "proof": one.evidence.proof,
                "unguarded": list(one.evidence.unguarded),
                "purges": [
                    {
                        "at": purge.at.isoformat(), "day": purge.day.isoformat(), "partition": purge.partition,
                        "rows": purge.rows, "held": purge.held, "size_bytes": purge.size_bytes, "by": purge.by,
                    }
                    for purge in one.purges(using)
                ],
            }
            for one in reports(using)
        ],
    }  # fmt: skip


def as_rows(using: str) -> Iterator[list[Any]]:
    """A head line, then a line for each table."""
    lines = [_figures(one) for one in reports(using)]
    if lines:
        yield ["made_at", *lines[0]]
    moment = timezone.now().isoformat()
    for line in lines:
        yield [moment, *("" if value is None else value for value in line.values())]


def _figures(one: TableReport) -> dict[str, Any]:
    found, dropped = one.evidence, one.dropped
    return {
        "table": found.table, "model": one.label, "keep_days": _days(found.keep), "most_days": _days(found.most),
        "rows": found.rows, "oldest": _iso(found.oldest), "next_expiry": _iso(found.next_expiry),
        "expired_and_readable": found.expired_visible, "unguarded_count": len(found.unguarded),
        "partitions": found.partitions, "partitions_to_drop": found.expired_partitions,
        "size_bytes": found.bytes_on_disk, "holds": found.holds, "held_rows": found.held,
        "last_sweep": _iso(found.swept_at), "days_dropped": dropped.days, "rows_dropped": dropped.rows,
        "bytes_dropped": dropped.size_bytes, "first_purge": _iso(dropped.first_at), "last_purge": _iso(dropped.last_at),
    }  # fmt: skip


def _dropped(table: str, using: str) -> Dropped:
    sums = Purge.objects.using(using).filter(table_name=table).aggregate(
        days=Count("day", distinct=True), gone=Sum("rows"), size=Sum("size_bytes"), first=Min("at"), last=Max("at")
    )  # fmt: skip
    return Dropped(sums["days"], sums["gone"] or 0, sums["size"] or 0, sums["first"], sums["last"])


def _days(span: timedelta) -> float:
    return span / timedelta(days=1)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
