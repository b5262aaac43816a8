"""A database whose commits are real, at a tenth of the time that a flush after each test takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction

__all__ = ["delete_everything", "transactional_db"]

LEDGER = {"lockstep_llm_call", "lockstep_privacy_payload"}


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Stands in for pytest-django's, by that name, so that pytest-django makes the test database."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            delete_everything()


def delete_everything() -> None:
    """Rows of the test apps, with what stands beside them by cascade, and what was called and said."""
    models = [
        model for label in ("testapp", "archive", "auth") for model in apps.get_app_config(label).get_models()
    ]
    own = [
        model for model in models if model.__module__.startswith("tests.") and "Search" not in model.__name__
    ]
    through = [field.remote_field.through for model in models for field in model._meta.local_many_to_many]
    roots = [*own, *through, apps.get_model("auth", "User")]
    tables = {model._meta.db_table for model in roots if not model._meta.proxy} | LEDGER
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(";".join(f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables))
