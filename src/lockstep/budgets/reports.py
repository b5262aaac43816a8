"""What is spent, what is held, and whether the counters agree with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from lockstep.budgets.models import Budget, BudgetPeriod, Hold
from lockstep.llm.conf import settings

__all__ = ["Drift", "Standing", "drift", "estimate", "folded", "history", "standings", "sweep"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget, for one subject of it, in one period."""

    budget: Budget
    who: str
    spent: int
    """Micros of the currency, or tokens."""
    reserved: int
    starts_at: datetime | None
    """None: nothing was asked for in this period."""
    ends_at: datetime | None

    @property
    def percent(self) -> float:
        """Spent, of the limit as it is now; of a limit of 0 all is spent."""
        return 100 * self.spent / self.budget.cap if self.budget.cap else 100.0

    @property
    def held_percent(self) -> float:
        return 100 * self.reserved / self.budget.cap if self.budget.cap else 0.0

    @property
    def state(self) -> str:
        """off, spent, near or ok."""
        if not self.budget.active:
            return "off"
        if self.percent >= 100:
            return "spent"
        return "near" if self.percent >= self.budget.soft_percent else "ok"


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that disagrees with the ledger, which never happens."""

    period: BudgetPeriod
    spent: int
    ledger_spent: int
    reserved: int
    ledger_reserved: int


def folded(periods: QuerySet[BudgetPeriod]) -> QuerySet[Any]:
    """With ``now_spent`` and ``now_reserved``: what came back counts, whether or not it is folded in already."""
    due = Hold.objects.filter(period_id=OuterRef("pk"), due=True).order_by().values("period_id")
    more = due.annotate(sum=Sum(F("actual") - F("counted"))).values("sum")
    freed = due.annotate(sum=Sum("held")).values("sum")
    return periods.annotate(
        now_spent=F("spent") + Coalesce(Subquery(more), 0, output_field=BigIntegerField()),
        now_reserved=F("reserved") - Coalesce(Subquery(freed), 0, output_field=BigIntegerField()),
    )


def standings(budgets: QuerySet[Budget]) -> list[Standing]:
    """Each budget now: the fullest subject of those that have one each. Two queries."""
    chosen = list(budgets)
    running = folded(
        BudgetPeriod.objects.using(settings().database).filter(
            budget__in=[budget.pk for budget in chosen], ends_at__gt=timezone.now()
        )
    )
    fullest = {
        period.budget_id: period
        for period in running.order_by("budget_id", "-now_spent").distinct("budget_id")
    }
    return [_standing(budget, fullest.get(budget.pk)) for budget in chosen]


def history(budget: Budget, most: int = 60) -> list[Standing]:
    """Its periods, the latest first."""
    periods = folded(budget.periods.all()).order_by("-starts_at", "-now_spent")[:most]
    return [_standing(budget, period) for period in periods]


def drift(since: datetime | None = None) -> Iterator[Drift]:
    """Compare every counter of an active budget with the ledger, while calls go on.

    Args:
        since: periods that end after it; now.
    """
    alias = settings().database
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT * FROM lockstep_budgets_drift_v1(%s)", [since or timezone.now()])
        rows = [row for row in cursor.fetchall() if row[1] != row[2] or row[3] != row[4]]
    periods = BudgetPeriod.objects.using(alias).select_related("budget").in_bulk([row[0] for row in rows])
    for key, *figures in rows:
        yield Drift(periods[key], *(int(figure) for figure in figures))


def sweep() -> int:
    """Fold what nobody else does just now, charge calls that never came back, close incidents of ended periods.

    Returns: how many counters were folded.
    """
    return _call("lockstep_budgets_sweep_v1")


def estimate() -> int:
    """Measure anew what 99 of 100 calls use of their bound. Returns how many figures."""
    return _call("lockstep_budgets_estimate_v1")


def _call(function: str) -> int:
    with connections[settings().database].cursor() as cursor:
        cursor.execute(f"SELECT {function}()")
        count: int = cursor.fetchone()[0]
    return count


def _standing(budget: Budget, period: Any) -> Standing:
    if period is None:
        return Standing(budget, budget.who, 0, 0, None, None)
    return Standing(
        budget, period.who, period.now_spent, period.now_reserved, period.starts_at, period.ends_at
    )
