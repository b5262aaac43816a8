"""What product code sees of a budget: the error, and the model that stands in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from lockstep.budgets.models import Budget
from lockstep.core import features
from lockstep.llm import Feature, feature
from lockstep.llm.exceptions import BudgetContended, BudgetExceeded, Unpriced
from lockstep.llm.models import Call, Price
from lockstep.testing.llm import fake_models, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def support() -> Iterator[Feature]:
    yield feature("tests.capped", model="openai:large", fallback_model="")
    features.forget("tests.capped")


@pytest.fixture
def thrifty() -> Iterator[Feature]:
    yield feature("tests.thrifty", model="openai:large", fallback_model="openai:small")
    features.forget("tests.thrifty")


@pytest.fixture(autouse=True)
def prices() -> None:
    for model, price in (("large", 100), ("small", 1)):
        Price.objects.create(
            provider="openai", model=model, source="contract", currency="GBP", input=Decimal(price),
            output=Decimal(price), valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip


def models_asked() -> list[str]:
    return list(Call.objects.exclude(state="refused").order_by("at").values_list("request_model", flat=True))


def test_a_spent_budget_says_how_much_is_left_and_when_it_begins_anew(support: Feature) -> None:
    budget = Budget.objects.create(feature="tests.capped", cap=500_000, period="day")
    with fake_models(say("Yes.", input_tokens=2_000, output_tokens=2_500)):
        support.invoke("Is it?", max_tokens=3_000)
        with pytest.raises(
            BudgetExceeded, match=r"tests.capped, 0.50 GBP a day: 0.45 GBP are spent"
        ) as caught:
            support.invoke("And now?", max_tokens=3_000)
    refusal = caught.value
    assert not isinstance(refusal, BudgetContended)
    assert (refusal.budget, refusal.unit, refusal.limit, refusal.spent) == (
        budget.pk,
        "money",
        500_000,
        450_000,
    )
    assert timezone.now() < refusal.resets_at < timezone.now() + timedelta(days=1, hours=1)
    row = Call.objects.get(pk=refusal.call)
    assert (row.state, row.error_type, row.cost_micros) == ("refused", "budget_exhausted", 0)


def test_without_a_price_a_budget_of_money_refuses_and_says_what_to_do(support: Feature) -> None:
    Budget.objects.create(feature="tests.capped", cap=500_000, period="day")
    with fake_models("No."), pytest.raises(Unpriced, match="lockstep_prices set openai unheard"):
        support.invoke("Is it?", model="openai:unheard")


def spend_nearly_all(name: str) -> None:
    Budget.objects.create(feature=name, cap=20_000, period="day")


@pytest.mark.parametrize(
    "how", ["invoke", "ainvoke", "stream", "astream", "graph", "agraph", "gstream", "gastream"]
)
def test_the_cheaper_model_stands_in_by_every_path(thrifty: Feature, how: str) -> None:
    spend_nearly_all("tests.thrifty")
    with fake_models(otherwise="From the small one.") as models:
        assert ask(thrifty, how) == "From the small one."
    assert [request.model for request in models.requests] == ["openai:small"]
    assert models_asked() == ["small"]
    assert (
        Call.objects.filter(request_model="large", state="refused", error_type="budget_exhausted").count()
        == 1
    )


def ask(feature: Feature, how: str) -> str:
    if how == "invoke":
        return feature.invoke("How?", max_tokens=500).text
    if how == "ainvoke":
        return asyncio.run(feature.ainvoke("How?", max_tokens=500)).text
    if how == "stream":
        return "".join(feature.stream("How?", max_tokens=500).text())
    model = feature.chat_model()
    if how == "graph":
        return model.invoke("How?", max_tokens=500).text
    if how == "agraph":
        return asyncio.run(model.ainvoke("How?", max_tokens=500)).text
    if how == "gstream":
        return "".join(piece.text for piece in model.stream("How?", max_tokens=500))

    async def pieces() -> str:
        if how == "astream":
            return "".join([piece.text async for piece in await feature.astream("How?", max_tokens=500)])
        return "".join([piece.text async for piece in model.astream("How?", max_tokens=500)])

    return asyncio.run(pieces())


def test_when_the_cheaper_one_does_not_fit_either_the_call_is_refused(thrifty: Feature) -> None:
    Budget.objects.create(feature="tests.thrifty", cap=10, period="day")
    with fake_models("never"), pytest.raises(BudgetExceeded):
        thrifty.invoke("How?", max_tokens=500)
    assert list(Call.objects.values_list("state", flat=True)) == ["refused", "refused"]


def test_while_others_hold_what_is_left_nobody_stands_in(thrifty: Feature) -> None:
    Budget.objects.create(feature="tests.thrifty", cap=60_000, period="day")
    with fake_models("one two", "never"):
        under_way = thrifty.stream("How?", max_tokens=500).text()
        assert next(under_way) == "one "
        with pytest.raises(BudgetContended, match="held by calls under way") as caught:
            thrifty.invoke("And I?", max_tokens=500)
        assert caught.value.retry_after_s == 1
        assert list(under_way) == ["two"]
        assert thrifty.invoke("And now?", max_tokens=500).text == "never"
