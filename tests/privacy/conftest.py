from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.privacy.rows import TABLE, partitions


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Stands in for pytest-django's, by that name: commits are real, and everything is emptied afterwards."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            empty()
            connection.close()


def empty() -> None:
    """As on the first day: no row, no partition, no record."""
    with connection.cursor() as cursor:
        for name in partitions():
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute(
            f"TRUNCATE {TABLE}, lockstep_core_legalhold, lockstep_core_purge, lockstep_core_notice"
        )
        cursor.execute("UPDATE lockstep_core_expiringtable SET swept_at = NULL, since = now()")
        cursor.execute("SELECT lockstep_core_swept_v1(%s)", [TABLE])
        cursor.execute("UPDATE lockstep_core_expiringtable SET swept_at = NULL")
