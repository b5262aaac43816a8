"""Whether a test runner is at work: what we install must leave a user's own tests alone."""

from __future__ import annotations

import sys

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["made_by_test_runner", "under_test_runner"]


def under_test_runner() -> bool:
    """Whether Django's test environment is set up in this process (its runner, pytest-django)."""
    utils = sys.modules.get("django.test.utils")  # to import it takes a fresh process half a second
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


def made_by_test_runner(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database behind ``connection`` is one for tests, also while nobody tests (testserver, --reuse-db)."""
    name = str(connection.settings_dict["NAME"] or "")
    given = connection.settings_dict.get("TEST", {}).get("NAME")
    return under_test_runner() or name.startswith("test_") or (bool(given) and name == given)
