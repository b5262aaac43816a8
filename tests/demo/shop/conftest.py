"""The shop, loaded once with the embedder it really uses; each test sees it whole and leaves it so."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from tools.demo import serving


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        call_command("load_shop", verbosity=0)


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
