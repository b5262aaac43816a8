"""Budgets as an administrator meets them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from lockstep.budgets.models import Alert, Budget, BudgetPeriod
from lockstep.core.models import Feature
from lockstep.core.pseudonyms import pseudonym
from tests.budgets.calls import came_back, reserve
from tests.budgets.test_caps import counters, tokens

pytestmark = pytest.mark.django_db
LIST = "admin:lockstep_budgets_budget_changelist"
FORM = {
    "feature": "", "per": "all", "who": "", "user": "", "period": "month", "time_zone": "Europe/London",
    "unit": "money", "limit": "100.50", "soft_percent": "70", "bound": "strict", "active": "on",
}  # fmt: skip


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def add(client: Client, **fields: str) -> Any:
    return client.post(reverse("admin:lockstep_budgets_budget_add"), FORM | fields)


def change(client: Client, budget: Budget, **fields: str) -> Any:
    given = {"limit": "1", "soft_percent": "70", "bound": "strict", "active": "on"} | fields
    return client.post(reverse("admin:lockstep_budgets_budget_change", args=[budget.pk]), given)


def test_a_limit_is_written_in_pounds(ann: Client) -> None:
    assert add(ann).status_code == 302
    budget = Budget.objects.get()
    assert (budget.cap, budget.currency, budget.feature) == (100_500_000, "GBP", "")
    page = ann.get(reverse("admin:lockstep_budgets_budget_change", args=[budget.pk])).content.decode()
    assert 'value="100.5' in page
    assert change(ann, budget, limit="20").status_code == 302
    budget.refresh_from_db()
    assert (budget.cap, budget.per, budget.unit) == (20_000_000, "all", "money")


def test_the_list_shows_a_bar_of_what_is_spent_and_held(ann: Client) -> None:
    Feature.objects.create(name="support.answer", data_class="internal")
    tokens(4_000), tokens(0, feature="other.thing")
    came_back(1_000)
    reserve()
    page = ann.get(reverse(LIST)).content.decode()
    assert "1,000 tokens of 4,000 tokens (25\u00a0%)" in page
    assert 'aria-label="25.0 per cent spent, 25.0 held"' in page
    assert 'lockstep-bar-spent" viewBox' in page  # a limit of 0 is spent
    assert "style=" not in page.split('id="changelist"')[1].split("</table>")[0]


def test_a_person_is_kept_as_a_pseudonym(ann: Client) -> None:
    assert add(ann, per="user", user="42").status_code == 302
    assert Budget.objects.get().who == pseudonym("42")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"limit": "-1"}, "greater than or equal to 0"),
        ({"limit": ""}, "required"),
        ({"limit": "9999999999.1234567"}, "no more than"),
        ({"limit": "1.5", "unit": "tokens"}, "Tokens are whole"),
        ({"time_zone": "London"}, "Europe/London"),
        ({"user": "42"}, "Choose"),
        ({"who": "trial"}, "names nobody"),
        ({"soft_percent": "101"}, "less than or equal to 100"),
        ({"feature": "unheard.of"}, "valid choice"),
    ],
)
def test_what_cannot_be_is_said_beside_the_form(ann: Client, fields: dict[str, str], says: str) -> None:
    answer = add(ann, **fields)
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not Budget.objects.exists()


def test_a_second_one_for_the_same_says_what_to_do(ann: Client) -> None:
    add(ann)
    assert "change its limit" in add(ann).content.decode()


def test_what_it_counts_cannot_be_changed_from_the_form_either(ann: Client) -> None:
    budget = tokens(5)
    change(ann, budget, feature="other", unit="money", limit="7")
    budget.refresh_from_db()
    assert (budget.feature, budget.unit, budget.cap) == ("support.answer", "tokens", 7)


def test_history_alerts_and_overruns_have_pages(ann: Client) -> None:
    budget = tokens(1_000)
    came_back(990)
    counters()
    page = ann.get(reverse("admin:lockstep_budgets_budget_change", args=[budget.pk])).content.decode()
    assert "990 tokens" in page
    assert "99 %" in page
    assert Alert.objects.exists()
    assert (
        "990 tokens of 1,000 tokens"
        in ann.get(reverse("admin:lockstep_budgets_alert_changelist")).content.decode()
    )
    assert ann.get(reverse("admin:lockstep_budgets_overrun_changelist")).status_code == 200


def test_nobody_deletes_and_who_may_only_look_changes_nothing(client: Client) -> None:
    budget = tokens(5)
    bob = User.objects.create_user("bob", is_staff=True)
    bob.user_permissions.set(Permission.objects.filter(codename__in=["view_budget", "delete_budget"]))
    client.force_login(bob)
    assert client.get(reverse(LIST)).status_code == 200
    assert change(client, budget, limit="9").status_code == 403
    assert client.post(reverse("admin:lockstep_budgets_budget_delete", args=[budget.pk])).status_code == 403
    assert add(client).status_code == 403
    assert Budget.objects.get().cap == 5


def test_a_thousand_subjects_cost_no_more_queries_than_one(
    ann: Client, django_assert_max_num_queries: Any
) -> None:
    budget = tokens(1_000, per="user")
    first = came_back(10, user_key="u0")
    assert first.refused is None
    period = BudgetPeriod.objects.get()
    BudgetPeriod.objects.bulk_create(
        BudgetPeriod(
            budget=budget, who=f"x{at}", starts_at=period.starts_at, ends_at=period.ends_at, spent=at
        )
        for at in range(1_000)
    )
    with django_assert_max_num_queries(8):
        page = ann.get(reverse(LIST)).content.decode()
    assert "999 tokens of 1,000 tokens (100\u00a0%)" in page
