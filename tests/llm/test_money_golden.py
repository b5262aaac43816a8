"""The golden table, and what holds for every usage."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.llm.models import Price, Rate
from lockstep.llm.money import lookup
from tests.llm.golden_usages import BOOK, GOLDEN, RATES, Golden, day

OPERATORS: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


@pytest.fixture
def book(db: None) -> None:
    Price.objects.bulk_create(Price(**row) for row in BOOK)
    Rate.objects.bulk_create(
        Rate(base=base, quote=quote, rate=Decimal(rate), on_date=date.fromisoformat(on), source="table")
        for base, quote, rate, on in RATES
    )


def charge(model: str, at: Any, tokens: tuple[int, int, int, int]) -> int | None:
    """As the ledger charges: find the price, find the rate, work out the cost."""
    price = lookup.price_id(*model.split(":"), at, tokens[0])
    currency = Price.objects.get(pk=price).currency if price else "USD"
    return lookup.cost_micros(
        price,
        lookup.rate_id(currency, "GBP", at),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cache_read_tokens=tokens[2],
        cache_write_tokens=tokens[3],
    )


def worked_out(text: str) -> Decimal:
    """The value of an expression of numbers, + - * and brackets."""

    def value(node: ast.expr) -> Decimal:
        if isinstance(node, ast.Constant):
            return Decimal(ast.get_source_segment(text, node) or "")
        assert isinstance(node, ast.BinOp), text
        return OPERATORS[type(node.op)](value(node.left), value(node.right))

    return value(ast.parse(text, mode="eval").body)


def sides(golden: Golden) -> Iterator[list[Decimal]]:
    for equation in golden.sums.partition("->")[0].split(";"):
        yield [worked_out(side.strip()) for side in equation.split("=")]


def test_the_table_is_long_enough_and_names_each_usage_once() -> None:
    assert len(GOLDEN) >= 40
    assert len({golden.name for golden in GOLDEN}) == len(GOLDEN)


@pytest.mark.parametrize(
    "golden", [golden for golden in GOLDEN if golden.sums], ids=lambda golden: golden.name
)
def test_the_arithmetic_in_the_table_is_right(golden: Golden) -> None:
    last = Decimal(0)
    for equation in sides(golden):
        assert len(set(equation)) == 1, golden.sums
        last = equation[-1]
    assert last.quantize(Decimal(1), ROUND_HALF_UP) == golden.micros


@pytest.mark.usefixtures("book")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_a_usage_costs_what_was_worked_out_by_hand(golden: Golden) -> None:
    assert charge(golden.model, golden.at, golden.tokens) == golden.micros


@pytest.mark.usefixtures("book")
def test_cached_tokens_are_charged_once() -> None:
    at = day("2026-11-16")
    assert charge("acme:half", at, (1_000, 0, 1_000, 0)) == charge("acme:half", at, (1_000, 0, 0, 0)) == 500
    assert charge("acme:half", at, (1_000, 0, 400, 600)) == 500


@pytest.mark.usefixtures("book")
def test_the_sum_is_rounded_once_and_not_each_part() -> None:
    assert charge("acme:half", day("2026-11-16"), (3, 1, 1, 1)) == 2


@pytest.mark.usefixtures("book")
def test_a_rate_of_another_currency_is_no_rate() -> None:
    euros = Rate.objects.get(base="EUR")
    price = lookup.price_id("openai", "mini", day("2026-11-05"))
    assert lookup.cost_micros(price, euros.pk, input_tokens=1_000) is None


@pytest.mark.usefixtures("book")
def test_a_row_with_absurd_figures_is_still_charged() -> None:
    Rate.objects.create(
        base="GBP", quote="IRR", rate=Decimal(999_999_999), on_date=date(2026, 1, 1), source="x"
    )
    at = day("2026-11-05")
    cost = lookup.cost_micros(
        lookup.price_id("acme", "dear", at), lookup.rate_id("GBP", "IRR", at), output_tokens=2_147_483_647
    )
    assert cost == 9_223_372_036_854_775_807


@pytest.mark.usefixtures("book")
def test_unknown_counts_are_no_tokens() -> None:
    price = lookup.price_id("acme", "half", day("2026-11-05"))
    nothing: Any = None
    assert lookup.cost_micros(price, 0, input_tokens=nothing, output_tokens=3, cache_read_tokens=nothing) == 2


@pytest.mark.usefixtures("book")
def test_a_later_price_leaves_the_figure_of_an_earlier_call_alone() -> None:
    at = day("2026-11-05")
    price, rate = lookup.price_id("openai", "mini", at), lookup.rate_id("USD", "GBP", at)
    Price.objects.filter(provider="openai", model="mini").close(at)
    Price.objects.create(**BOOK[0] | {"input": Decimal(9), "valid_from": at})
    Rate.objects.create(base="USD", quote="GBP", rate=Decimal(2), on_date=at.date(), source="late")
    assert lookup.cost_micros(price, rate, input_tokens=1_000, output_tokens=500) == 952


tokens = st.integers(0, 400_000)
models = st.sampled_from(
    ["openai:mini", "openai:plain", "anthropic:small", "vllm:qwen", "acme:half", "acme:crumbs"]
)
each = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
AT = day("2026-11-05T12:00")


@pytest.mark.usefixtures("book")
@each
@given(models, tokens, tokens, tokens, tokens)
def test_no_usage_is_negative_and_one_more_token_never_makes_it_cheaper(
    model: str, fresh: int, out: int, read: int, written: int
) -> None:
    cost = charge(model, AT, (fresh + read + written, out, read, written)) or 0
    assert cost >= 0
    assert (charge(model, AT, (fresh + 1 + read + written, out, read, written)) or 0) >= cost
    assert (charge(model, AT, (fresh + read + written, out + 1, read, written)) or 0) >= cost
    assert (charge(model, AT, (fresh + read + 1 + written, out, read + 1, written)) or 0) >= cost
    assert (charge(model, AT, (fresh + read + written + 1, out, read, written + 1)) or 0) >= cost


@pytest.mark.usefixtures("book")
@each
@given(models, tokens, tokens, tokens, tokens)
def test_two_calls_cost_their_sum_up_to_one_rounding(
    model: str, first: int, second: int, a: int, b: int
) -> None:
    together = charge(model, AT, (first + second, a + b, 0, 0)) or 0
    apart = (charge(model, AT, (first, a, 0, 0)) or 0) + (charge(model, AT, (second, b, 0, 0)) or 0)
    assert abs(together - apart) <= 1


every_model = st.sampled_from(sorted({golden.model for golden in GOLDEN if golden.sums} - {"acme:corrected"}))


@pytest.mark.usefixtures("book")
@settings(parent=each, max_examples=200)
@given(every_model, tokens, tokens, st.data())
def test_no_usage_within_the_bound_costs_more_than_the_bound(
    model: str, most: int, out: int, data: Any
) -> None:
    price = lookup.price_id(*model.split(":"), AT, most)
    currency = Price.objects.get(pk=price).currency
    rate = lookup.rate_id(currency, "GBP", AT)
    bound = lookup.bound_micros(price, rate, AT, input_tokens=most, output_tokens=out)
    sent = data.draw(st.integers(0, most), "input")
    read = data.draw(st.integers(0, sent), "read")
    usage = (
        sent,
        data.draw(st.integers(0, out), "output"),
        read,
        data.draw(st.integers(0, sent - read), "written"),
    )
    at = data.draw(st.sampled_from([AT, AT.replace(hour=1), AT.replace(hour=20)]), "hour")
    assert (charge(model, at, usage) or 0) <= (bound or 0)


@pytest.mark.usefixtures("book")
def test_the_bound_of_a_bulk_price_is_the_dear_tier_that_a_smaller_input_falls_into() -> None:
    price = lookup.price_id("acme", "bulk", AT, 100_000)
    bound = lookup.bound_micros(price, 0, AT, input_tokens=100_000, output_tokens=10)
    assert bound == 100_000 * 3 + 10 * 6
    assert charge("acme:bulk", AT, (99_999, 10, 99_999, 0)) == 99_999 * 3 + 10 * 6


@pytest.mark.usefixtures("book")
def test_nothing_bounds_what_has_no_price_or_no_rate() -> None:
    price = lookup.price_id("openai", "mini", AT)
    assert lookup.bound_micros(None, 0, AT, input_tokens=1, output_tokens=1) is None
    assert lookup.bound_micros(price, None, AT, input_tokens=1, output_tokens=1) is None


@pytest.mark.usefixtures("book")
@each
@given(tokens, tokens, st.integers(0, 400_000))
def test_reading_from_the_cache_is_never_dearer_than_sending_anew(fresh: int, read: int, out: int) -> None:
    sent = charge("openai:mini", AT, (fresh + read, out, 0, 0)) or 0
    assert (charge("openai:mini", AT, (fresh + read, out, read, 0)) or 0) <= sent
