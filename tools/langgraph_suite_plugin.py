"""pytest plugin: tests that ask for LangGraph's checkpointers get the saver of ``LANGGRAPH_SUITE_ARM``, the others are
left out. It takes the place of the fixtures of the suite's own conftest, which stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

ARM = "LANGGRAPH_SUITE_ARM"
DATABASE = "LANGGRAPH_SUITE_DATABASE_URL"
FIXTURES = ("sync_checkpointer", "async_checkpointer")
PARAMETER = "memory"
"""The suite's own name of the case; snapshots are filed under it."""
EMPTY = """
    WITH a AS (DELETE FROM lockstep_workflows_checkpoint RETURNING 1),
        b AS (DELETE FROM lockstep_workflows_checkpointwrite RETURNING 1)
    SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)
"""


def lockstep() -> Any:
    from lockstep.workflows import DjangoSaver
    from lockstep.workflows.connection import apart

    apart.query(EMPTY, ())
    return DjangoSaver()


def memory() -> Any:
    from langgraph.checkpoint.memory import InMemorySaver

    return InMemorySaver()


ARMS: dict[str, Callable[[], Any]] = {"memory": memory, "lockstep": lockstep}


def checkpointer() -> Any:
    return ARMS[os.environ[ARM]]()


def pytest_configure() -> None:
    if os.environ[ARM] == "lockstep":
        _set_up(os.environ[DATABASE])


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object) -> None:
    """Before pytest reads the fixtures of a conftest."""
    if isinstance(plugin, ModuleType):
        for name in FIXTURES:
            if hasattr(plugin, name):
                setattr(plugin, name, pytest.fixture(checkpointer, name=name, params=[PARAMETER]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = [item for item in items if set(FIXTURES) & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _set_up(url: str) -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command
    from psycopg.conninfo import conninfo_to_dict

    place = conninfo_to_dict(url)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": place.pop("dbname"),
                "USER": place.pop("user", ""),
                "PASSWORD": place.pop("password", ""),
                "HOST": place.pop("host", ""),
                "PORT": place.pop("port", ""),
                "OPTIONS": place,
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "lockstep.core",
            "lockstep.workflows",
        ],
        USE_TZ=True,
        SECRET_KEY="tests only",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
