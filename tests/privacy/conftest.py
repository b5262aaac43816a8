"""A feature with known people, rows that expire in a database whose commits are real, and what every test asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from lockstep.core import features
from lockstep.privacy import declared
from lockstep.privacy.redaction import redact
from tests.privacy.rows import TABLE, partitions

FEATURE = "surgery.answer"
BESIDE = (
    "lockstep_privacy_receipt", "lockstep_llm_call", "lockstep_budgets_budget", "lockstep_budgets_budgetperiod",
    "lockstep_budgets_hold", "lockstep_budgets_alert", "lockstep_budgets_overrun", "people_customer", "people_order",
    "people_line", "people_invoice", "people_visit", "people_club", "people_club_members",
)  # fmt: skip
"""What else names people."""


@pytest.fixture
def feature() -> Iterator[str]:
    """Declared for internal data, so that its content is redacted and kept."""
    features.declare(FEATURE, owner="ann@example.org")
    yield FEATURE
    features.forget(FEATURE)
    declared.forget(FEATURE)


@pytest.fixture
def kept(feature: str) -> Callable[..., str]:
    """The text that may be kept of a content."""

    def kept(content: Any, **how: Any) -> str:
        copy = redact(feature, content, **how)
        assert copy is not None
        return copy.text

    return kept


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
        core = "lockstep_core_legalhold, lockstep_core_purge, lockstep_core_notice, lockstep_core_delivery"
        cursor.execute(f"TRUNCATE {TABLE}, {core}, {', '.join(BESIDE)}")
        cursor.execute("UPDATE lockstep_core_expiringtable SET swept_at = NULL, since = now()")
        cursor.execute("SELECT lockstep_core_swept_v1(%s)", [TABLE])
        cursor.execute("UPDATE lockstep_core_expiringtable SET swept_at = NULL")
        cursor.execute("DELETE FROM lockstep_llm_call; DELETE FROM django_session")
    User.objects.all().delete()  # and what they logged
