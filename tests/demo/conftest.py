"""The demo is a project of its own, with settings of its own: its tests need a process of their own.

``test_project.py`` starts it. To run them alone: ``bin/test --ds=demo.settings tests/demo``. The shop is loaded once
with the embedder it really uses; each test sees it whole and leaves it so.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import override_settings, setup_databases, teardown_databases

from tests.search.workers import environment as test_database
from tools.backstage import Backstage, backstage, environment_for, redis_or_none
from tools.demo import address, answering, listen, serving

IS_DEMO = os.environ.get("DJANGO_SETTINGS_MODULE") == "demo.settings"
collect_ignore = ["test_project.py"] if IS_DEMO else ["orders", "shop"]


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment, django_db_blocker, django_db_keepdb, django_db_createdb
) -> Iterator[None]:
    """pytest-django's own makes test databases for tests that are marked; those of the browser are not, and would have
    met the database that DATABASE_URL names."""
    with django_db_blocker.unblock():
        made = setup_databases(
            verbosity=0, interactive=False, keepdb=django_db_keepdb and not django_db_createdb
        )
        call_command("load_shop", verbosity=0)
    yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            end_other_sessions()
            teardown_databases(made, verbosity=0)


def end_other_sessions() -> None:
    """Threads of a server that has closed may hold theirs still, and the database could not be dropped."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def alice(db) -> User:
    return User.objects.get(username="alice")


@pytest.fixture
def bob(db) -> User:
    return User.objects.get(username="bob")


@pytest.fixture
def as_bob(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def site(django_db_setup, django_db_blocker) -> Iterator[str]:
    """Address of the running shop, for the browser. What it writes stays."""
    with django_db_blocker.unblock(), serving(0) as url:
        yield url


@pytest.fixture(scope="module")
def open_shop(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Backstage]]:
    """The same with its bank and its workers, all of them processes."""
    from demo.celery import app

    server, folder = listen(0), tmp_path_factory.mktemp("demo")
    with django_db_blocker.unblock(), redis_or_none("test") as redis:
        environment = environment_for(address(server), redis, folder) | test_database()
        environment["DJANGO_SETTINGS_MODULE"] = "demo.settings"
        app.conf.broker_url = redis.replace("unix://", "redis+socket://")
        with (
            override_settings(BANK_URL=environment["BANK_URL"]),
            answering(server) as url,
            backstage("bank", folder, environment) as behind,
        ):
            yield url, behind
        app.conf.broker_url = ""
