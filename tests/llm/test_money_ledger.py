"""From the ledger's row back to its figure: the price and the rate that it keeps reproduce it to the digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from lockstep.core.ids import new_id
from lockstep.llm.ledger import Asked, Told, Usage, begin, end
from lockstep.llm.models import Call, Price, Rate
from lockstep.llm.money import lookup
from lockstep.llm.money.entry import set_price, set_rate
from tests.llm.golden_usages import BOOK, GOLDEN, RATES, Golden

pytestmark = pytest.mark.django_db


@pytest.fixture
def book() -> None:
    Price.objects.bulk_create(Price(**row) for row in BOOK)
    Rate.objects.bulk_create(
        Rate(base=base, quote=quote, rate=Decimal(rate), on_date=on, source="table")
        for base, quote, rate, on in RATES
    )


def asked(model: str, most: tuple[int, int]) -> Asked:
    provider, name = model.split(":")
    return Asked(
        id=(new := new_id()), invocation=new, attempt=1, operation="chat", provider=provider, model=name,
        priced_as=name, endpoint="", bound_input=most[0], bound_output=most[1],
    )  # fmt: skip


def made(call: Asked, usage: Usage) -> Call:
    end(Told(call.id, "ok", "usage", usage), call)
    return Call.objects.get(pk=call.id)


def worked_out_again(row: Call) -> int | None:
    return lookup.cost_micros(
        row.price_id,
        row.rate_id,
        input_tokens=row.input_tokens or 0,
        output_tokens=row.output_tokens or 0,
        cache_read_tokens=row.cache_read_tokens or 0,
        cache_write_tokens=row.cache_write_tokens or 0,
    )


@pytest.mark.usefixtures("book")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_every_row_of_the_ledger_can_be_worked_out_again(golden: Golden) -> None:
    call = asked(golden.model, golden.tokens[:2])
    begin(call)
    bound = Call.objects.get(pk=call.id)
    assert bound.price_id == lookup.price_id(bound.provider, bound.request_model, bound.at, bound.bound_input)
    assert bound.bound_micros == lookup.bound_micros(
        bound.price_id,
        bound.rate_id,
        bound.at,
        input_tokens=bound.bound_input,
        output_tokens=bound.bound_output,
    )
    row = made(call, Usage(*golden.tokens))
    assert row.price_id == lookup.price_id(row.provider, row.request_model, row.at, row.input_tokens or 0)
    assert row.cost_micros == worked_out_again(row)
    assert (row.cost_micros is None) == (golden.model in ("openai:unheard-of", "acme:yen"))


@pytest.mark.usefixtures("book")
def test_a_price_that_changes_while_a_call_is_under_way_leaves_that_call_alone() -> None:
    under_way = asked("acme:euro", (1_000, 1_000))
    begin(under_way)
    set_price("acme", "euro", input=Decimal(9), output=Decimal(9), currency="GBP", source="list")
    set_rate(
        "EUR", "GBP", Decimal("0.5"), on=datetime.now(UTC).date() + timedelta(days=1), source="announced"
    )
    later = asked("acme:euro", (1_000, 1_000))
    begin(later)
    first, second = made(under_way, Usage(1_000, 0)), made(later, Usage(1_000, 0))
    assert (first.cost_micros, second.cost_micros) == (344, 9_000)  # 1000 * .4 * .861234567; 1000 * 9
    assert first.price_id != second.price_id
    assert worked_out_again(first) == 344


@pytest.mark.usefixtures("book")
def test_the_sum_of_a_day_is_the_sum_of_its_rows() -> None:
    calls = [asked("openai:plain", (5_000, 5_000)) for _ in range(20)]
    rows = []
    for number, call in enumerate(calls):
        begin(call)
        rows.append(made(call, Usage(number * 37, number * 11, cache_read_tokens=number * 5)))
    assert all(row.cost_micros == worked_out_again(row) for row in rows)
    assert Call.objects.unpriced().count() == 0
