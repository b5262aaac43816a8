"""TRUNCATE guards: separate triggers, because a test runner's flush truncates every table."""

from __future__ import annotations

from typing import Any

from django.db import connections

from lockstep.core.testruns import made_by_test_runner
from lockstep.llm.sql.money import TRUNCATE_GUARDS

__all__ = ["install"]


def install(*, using: str, **_: Any) -> None:
    """Put the guards on after migrate, unless a test runner made the database (signal ``post_migrate``)."""
    connection = connections[using]
    if connection.vendor != "postgresql" or made_by_test_runner(connection):
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('lockstep_llm_price'), to_regclass('lockstep_llm_rate')")
        if None not in cursor.fetchone():
            for statement in TRUNCATE_GUARDS:
                cursor.execute(statement)
