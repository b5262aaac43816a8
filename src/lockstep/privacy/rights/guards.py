"""The TRUNCATE guard of receipts: a separate trigger, because a test runner's flush truncates every table."""

from __future__ import annotations

from typing import Any

from django.db import connections

from lockstep.core.retention.policies import is_installed
from lockstep.core.retention.sql import TRUNCATE_GUARD
from lockstep.core.testruns import made_by_test_runner
from lockstep.privacy.rights.models import Receipt

__all__ = ["install"]


def install(*, using: str, **_: Any) -> None:
    """Put it on after migrate, unless a test runner made the database (signal ``post_migrate``)."""
    connection, table = connections[using], Receipt._meta.db_table
    if not is_installed(using) or made_by_test_runner(connection):
        return
    if table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(TRUNCATE_GUARD.format(table=table))
