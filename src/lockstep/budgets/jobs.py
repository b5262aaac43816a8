"""What budgets want done again and again, wherever notices are delivered."""

from __future__ import annotations

from django.db import connections

from lockstep.core.ports import Job, jobs
from lockstep.llm.conf import settings

__all__ = ["register"]


def sweep() -> None:
    """Fold what calls left, let go of what lapsed, and open the next period: alerts come and go here too."""
    _run("SELECT lockstep_budgets_sweep_v1()")


def estimate() -> None:
    """Measure what share of their bound calls spend."""
    _run("SELECT lockstep_budgets_estimate_v1()")


def register() -> None:
    jobs.register("lockstep_budgets.sweep", Job(sweep, every_s=5))
    jobs.register("lockstep_budgets.estimate", Job(estimate, every_s=300))


def _run(statement: str) -> None:
    with connections[settings().database].cursor() as cursor:
        cursor.execute(statement)
