"""``lockstep_budgets``: what a person types, and what they are told when it is wrong."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from lockstep.budgets.models import Budget, BudgetPeriod
from lockstep.core.pseudonyms import pseudonym
from tests.budgets.calls import came_back, reserve
from tests.budgets.test_caps import sql

pytestmark = pytest.mark.django_db


def budgets(line: str) -> str:
    out = StringIO()
    call_command("lockstep_budgets", *line.split(), stdout=out, stderr=out)
    return out.getvalue()


def test_a_limit_is_set_changed_and_listed() -> None:
    assert "lockstep_budgets set" in budgets("list")
    assert "Made budget" in budgets("set support.answer 5000 --tokens --period day")
    came_back(1_000)
    reserve()
    (line,) = budgets("list").splitlines()
    assert "████▒▒▒▒············" in line
    assert "20.0 %" in line
    assert "1,000 tokens" in line
    assert line.endswith("support.answer: 5,000 tokens a day")
    assert "Changed budget" in budgets("set support.answer 800 --tokens --period day --soft 50")
    assert "spent" in budgets("list")
    budget = Budget.objects.get()
    assert (budget.cap, budget.soft_percent) == (800, 50)


def test_money_is_given_in_the_ledgers_currency() -> None:
    budgets("set all 100.50")
    budget = Budget.objects.get()
    assert (budget.feature, budget.cap, budget.currency, budget.period) == ("", 100_500_000, "GBP", "month")
    assert str(budget) == "all features: 100.50 GBP a month"


def test_a_person_is_named_by_primary_key_and_kept_as_a_pseudonym() -> None:
    budgets("set all 1 --per user --who 42")
    assert Budget.objects.get().who == pseudonym(42)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("set all ten", "'ten' is no limit"),
        ("set all NaN", "'NaN' is no limit"),
        ("set all -5", "greater than or equal to 0"),
        ("set all 1e30", "less than or equal to"),
        ("set all 0.0000001", "at most six decimals"),
        ("set all 1.5 --tokens", "whole tokens"),
        ("set all 1 --zone London", "Europe/London"),
        ("set all 1 --soft 0", "greater than or equal to 1"),
        ("set all 1 --who trial", "leave .which. empty"),
        ("off 77", "no budget 77"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(line: str, says: str) -> None:
    with pytest.raises((CommandError, SystemExit), match=says):
        budgets(line.replace("-5", "-- -5") if " -5" in line else line)
    assert not Budget.objects.exists()


def test_off_and_on() -> None:
    budgets("set support.answer 10 --tokens")
    key = Budget.objects.get().pk
    budgets(f"off {key}")
    assert came_back(500).refused is None
    budgets(f"on {key}")
    assert reserve()[1].refused == "budget_exhausted"
    assert BudgetPeriod.objects.get().spent == 500


def test_a_counter_that_was_tampered_with_is_found() -> None:
    budgets("set support.answer 5000 --tokens")
    came_back(100)
    assert "Every counter agrees" in budgets("drift")
    sql("UPDATE lockstep_budgets_budgetperiod SET spent = spent + 40")
    with pytest.raises(CommandError, match="1 counters disagree"):
        budgets("drift")


def test_history_names_each_period() -> None:
    budgets("set support.answer 5000 --tokens --period day")
    came_back(100)
    sql(
        "UPDATE lockstep_budgets_budgetperiod SET starts_at = starts_at - interval '1 day', ends_at = starts_at"
    )
    came_back(200)
    budgets("sweep")
    first, second = budgets(f"history {Budget.objects.get().pk}").splitlines()
    assert "200 tokens" in first
    assert "100 tokens" in second
