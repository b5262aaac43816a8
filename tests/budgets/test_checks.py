"""What ``check`` says of budgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.checks import CheckMessage

from lockstep.budgets.checks import check_budgets
from lockstep.budgets.models import Budget
from lockstep.core import features
from lockstep.core.features import declare
from tests.budgets.test_caps import tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def declared() -> Iterator[None]:
    declare("support.answer")
    yield
    features.forget("support.answer")


def found() -> list[CheckMessage]:
    return check_budgets(databases=["default"])


def test_a_budget_in_another_currency_is_named(declared: None) -> None:
    tokens(5)
    Budget.objects.create(feature="support.answer", cap=5, currency="GBP")
    assert found() == []
    other = Budget.objects.create(feature="support.answer", cap=5, currency="USD", period="day")
    (warning,) = found()
    assert (warning.id, f"off {other.pk}" in (warning.hint or "")) == ("lockstep_budgets.W001", True)


def test_a_budget_for_nothing_is_named_with_the_nearest_name(declared: None) -> None:
    tokens(5, feature="support.anwser")
    (warning,) = found()
    assert (warning.id, warning.hint) == ("lockstep_budgets.W002", "Did you mean 'support.answer'?")
    Budget.objects.update(active=False)
    assert found() == []


def test_without_a_database_it_asks_none() -> None:
    tokens(5, feature="unheard.of")
    assert check_budgets(databases=None) == []
