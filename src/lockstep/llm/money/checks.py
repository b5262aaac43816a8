"""System checks of money. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from lockstep.llm.money import place
from lockstep.llm.money.unpriced import unpriced

__all__ = ["check_prices"]


def check_prices(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """W001: a declared feature uses a model without a price, or a price without an exchange rate.

    Asks the database, so it runs with ``check --database`` and ``migrate``; before the tables are there it is silent.
    """
    try:
        using = place.database()
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    if using not in (databases or []):
        return []
    connection = connections[using]
    if connection.vendor != "postgresql" or not _migrated(connection):
        return []
    return [
        Warning(
            f"{missing} Its calls are recorded without a cost.", hint=missing.mend, id="lockstep_llm.W001"
        )
        for missing in unpriced(place.currency(), using=using)
    ]


def _migrated(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('lockstep_llm_cost_v1(bigint, bigint, int, int, int, int)')")
        return cursor.fetchone()[0] is not None
