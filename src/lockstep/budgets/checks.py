"""System checks of budgets. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from lockstep.core import features
from lockstep.core.conf import nearest
from lockstep.llm.conf import settings

__all__ = ["check_budgets"]


def check_budgets(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """W001: a budget of money is in another currency than the ledger. W002: it names a feature that is not declared.

    Asks the database, so it runs with ``check --database`` and ``migrate``; before the tables are there it is silent.
    """
    try:
        chosen = settings()
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    if chosen.database not in (databases or []) or not _migrated(connections[chosen.database]):
        return []
    return list(_found(chosen.database, chosen.currency))


def _found(alias: str, currency: str) -> Iterator[CheckMessage]:
    from lockstep.budgets.models import Budget

    declared = {spec.name for spec in features.declared()}
    for budget in Budget.objects.using(alias).filter(active=True):
        if budget.unit == Budget.Unit.MONEY and budget.currency != currency:
            yield Warning(
                f"Budget {budget.pk} ({budget}) counts {budget.currency}, and the ledger {currency}: a strict"
                " one refuses every call, an estimated one counts none.",
                hint=f"Switch it off (lockstep_budgets off {budget.pk}) and set another in {currency}.",
                id="lockstep_budgets.W001",
            )
        if budget.feature and budget.feature not in declared:
            yield Warning(
                f"Budget {budget.pk} ({budget}) holds a feature that no code declares.",
                hint=nearest(budget.feature, declared),
                id="lockstep_budgets.W002",
            )


def _migrated(connection: Any) -> bool:
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('lockstep_budgets_budget')")
        return cursor.fetchone()[0] is not None
