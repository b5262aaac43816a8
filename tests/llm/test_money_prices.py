"""List prices: what genai-prices says, row for row, and how they change."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from django.db import connection
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)

from lockstep.llm.models import Price
from lockstep.llm.models.money import ALWAYS
from lockstep.llm.money import lookup
from lockstep.llm.money.exceptions import PriceError
from lockstep.llm.money.prices import priced_as
from lockstep.llm.money.snapshot import lists_of, release
from lockstep.llm.money.sync import sync
from tests.committed import transactional_db

__all__ = ["transactional_db"]

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OFFERS = {provider.id: provider for provider in providers}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("prices need no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Provider]]:
    """Price data of a provider that is not out there, in the types of genai-prices."""
    made: list[Provider] = []
    monkeypatch.setattr("genai_prices.data.providers", made)
    priced_as.cache_clear()
    yield made
    priced_as.cache_clear()


def offer(offers: list[Provider], *conditions: tuple[Any, str], id: str = "one") -> None:  # noqa: A002
    """The provider "acme" now sells one model under these conditions."""
    prices = [
        ConditionalPrice(
            constraint, prices=ModelPrice(input_mtok=Decimal(amount), output_mtok=Decimal(amount))
        )
        for constraint, amount in conditions
    ]
    model = ModelInfo(id=id, match=ClauseStartsWith(starts_with=id), prices=prices)
    offers[:] = [Provider(id="acme", name="Acme", api_pattern="", models=[model])]


def on(text: str) -> StartDateConstraint:
    return StartDateConstraint(start_date=date.fromisoformat(text))


def in_force(at: datetime, input_tokens: int = 0, provider: str = "acme", model: str = "one") -> Price | None:
    return Price.objects.filter(pk=lookup.price_id(provider, model, at, input_tokens)).first()


def amount(at: datetime) -> Decimal | None:
    row = in_force(at)
    return row.input if row else None


def rows() -> list[tuple[str, str, str | None]]:
    found = Price.objects.order_by("valid_from", "id").values_list("input", "valid_from", "valid_to")
    return [(f"{price:.0f}", f"{start:%Y-%m-%d}", end and f"{end:%Y-%m-%d}") for price, start, end in found]


# names


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-5-mini", "gpt-5-mini"),
        ("openai", "gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("openai", "GPT-5-mini-20250807", "gpt-5-mini"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("azure", "gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("openai", "our-own-fine-thing", "our-own-fine-thing"),
        ("vllm", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("my-openai-compatible", "gpt-5-mini-2025-08-07", "gpt-5-mini-2025-08-07"),
    ],
)
def test_a_dated_name_is_priced_as_its_model_and_an_unknown_one_as_itself(
    provider: str, model: str, name: str
) -> None:
    assert priced_as(provider, model) == name


def test_the_dated_names_of_a_whole_list_are_priced_as_their_models() -> None:
    dated = {
        f"{model.id}-20250929": model.id
        for model in OFFERS["anthropic"].models
        if model.is_match(f"{model.id}-20250929") and not model.id.endswith("-latest")
    }
    assert len(dated) > 10
    assert {name: priced_as("anthropic", name) for name in dated} == dated


def test_a_resold_model_whose_id_the_seller_gave_to_another_takes_its_makers_name(
    offers: list[Provider],
) -> None:
    def model(id: str, match: str) -> ModelInfo:  # noqa: A002
        return ModelInfo(id=id, match=ClauseEquals(equals=match), prices=ModelPrice(input_mtok=Decimal(1)))

    maker = Provider(id="maker", name="", api_pattern="", models=[model("m", "m-2026"), model("n", "n")])
    seller = Provider(
        id="seller", name="", api_pattern="", models=[model("m", "m")], fallback_model_providers=["maker"]
    )
    offers[:] = [maker, seller]
    assert [priced_as("seller", name) for name in ("m", "m-2026", "n")] == ["m", "maker/m", "n"]


# what a list says


def test_a_model_that_is_not_sold_by_the_token_has_no_price() -> None:
    def lists(**prices: Any) -> list[Any]:
        return lists_of(ModelInfo(id="x", match=ClauseEquals(equals="x"), prices=ModelPrice(**prices)))

    assert lists() == []
    assert lists(audio_hours=Decimal("0.36")) == []
    assert len(lists(input_mtok=Decimal(0), output_mtok=Decimal(0))) == 1


def test_what_a_list_price_does_not_charge_for_is_said_in_its_note() -> None:
    prices = ModelPrice(input_mtok=Decimal(1), input_audio_mtok=Decimal(40), web_searches_kcount=Decimal(10))
    (listed,) = lists_of(ModelInfo(id="x", match=ClauseEquals(equals="x"), prices=prices))
    assert listed.note == f"{release()}; not charged: input_audio_mtok, web_searches_kcount"


def test_a_fee_for_a_thousand_requests_is_a_thousandth_for_one() -> None:
    prices = ModelPrice(input_mtok=Decimal(1), requests_kcount=Decimal(12))
    (listed,) = lists_of(ModelInfo(id="x", match=ClauseEquals(equals="x"), prices=prices))
    assert listed.lines[0].per_request == Decimal("0.012")


# equal to the calculation of genai-prices

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
USAGES = [
    (0, 0, 0, 0), (1, 1, 0, 0), (1_000, 500, 0, 0), (1_000, 500, 800, 0), (130_213, 400, 128_955, 1_253),
    (199_999, 7, 0, 0), (200_000, 7, 50_000, 0), (200_001, 7, 50_000, 1), (272_000, 3, 9, 0), (272_001, 3, 9, 0),
    (1_000_000, 64_000, 999_999, 0),
]  # fmt: skip
MOMENTS = [
    datetime(2024, 2, 29, 0, 0, tzinfo=UTC), datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC),
    datetime(2025, 6, 10, tzinfo=UTC), datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    datetime(2026, 9, 10, 16, 30, tzinfo=UTC), datetime(2026, 11, 22, 7, 0, tzinfo=UTC),
    datetime(2027, 1, 1, 4, 0, tzinfo=UTC),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("provider", ["openai", "anthropic", "deepseek", "x-ai", "perplexity", "google"])
def test_a_synced_price_charges_what_genai_prices_works_out_to_the_digit(provider: str) -> None:
    """All models of six providers: tiers, history, hours of the day, fees for requests."""
    sync(provider, now=NOW)
    counted = 0
    for model in OFFERS[provider].models:
        if not lists_of(model) or _charges_otherwise(model):
            continue
        name = model.id
        for at in MOMENTS:
            for tokens in USAGES[counted % 3 :: 3]:
                usage = dict(zip(COUNTS, tokens, strict=True))
                theirs = model.calc_price(Usage(**usage), OFFERS[provider], genai_request_timestamp=at)
                micros = (theirs.total_price * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP)
                price = lookup.price_id(provider, name, at, tokens[0])
                ours = lookup.cost_micros(price, 0, **usage)
                assert ours == micros, f"{name} at {at}: {usage}"
                counted += 1
    assert counted > 20


@pytest.mark.slow
@pytest.mark.django_db
def test_every_model_of_every_provider_is_charged_as_genai_prices_works_it_out() -> None:
    compared = 0
    for provider in providers:
        sync(provider.id, now=NOW)
        again = sync(provider.id, now=NOW + timedelta(days=1))
        assert (again.inserted, again.closed) == (0, 0), provider.id
        for model in provider.models:
            if not lists_of(model) or _charges_otherwise(model):
                continue
            for at in MOMENTS[2::3]:
                for tokens in USAGES[4::5]:
                    usage = dict(zip(COUNTS, tokens, strict=True))
                    theirs = model.calc_price(Usage(**usage), provider, genai_request_timestamp=at)
                    micros = (theirs.total_price * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP)
                    price = lookup.price_id(provider.id, model.id, at, tokens[0])
                    assert lookup.cost_micros(price, 0, **usage) == micros, f"{model.id} at {at}: {usage}"
                    compared += 1
    assert compared > 8_000


def _charges_otherwise(model: ModelInfo) -> bool:
    """Reasoning and citations at a price of their own: one model, whose rows say so in their note."""
    return any("output_reasoning" in listed.note or "citation" in listed.note for listed in lists_of(model))


@pytest.mark.django_db
def test_the_price_of_a_dated_name_is_found_under_the_models() -> None:
    sync("openai", models=["gpt-5-mini-2025-08-07"], now=NOW)
    row = in_force(NOW, provider="openai", model=priced_as("openai", "gpt-5-mini-2025-08-07"))
    assert row is not None
    assert (row.input, row.output, row.cache_read) == (Decimal("0.25"), Decimal(2), Decimal("0.025"))
    assert (row.source, row.currency, row.valid_from) == ("list", "USD", ALWAYS)
    assert row.note.startswith("genai-prices ")
    assert set(Price.objects.values_list("model", flat=True)) == {"gpt-5-mini"}


# in step


@pytest.mark.django_db
def test_a_second_sync_changes_nothing() -> None:
    first = sync("openai", now=NOW)
    assert first.inserted > first.models > 80
    assert "moderation" in first.unpriced
    for later in (NOW, NOW + timedelta(days=1), NOW + timedelta(days=400)):
        again = sync("openai", now=later)
        assert (again.inserted, again.closed, again.models) == (0, 0, first.models)


@pytest.mark.django_db
def test_the_first_sync_brings_the_history_and_what_is_announced(offers: list[Provider]) -> None:
    offer(offers, (None, "10"), (on("2025-06-10"), "2"), (on("2027-01-01"), "1"))
    sync("acme", now=NOW)
    assert rows() == [
        ("10", "1970-01-01", "2025-06-10"), ("2", "2025-06-10", "2027-01-01"), ("1", "2027-01-01", None),
    ]  # fmt: skip
    assert amount(datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC)) == 10
    assert amount(NOW) == 2
    assert amount(datetime(2027, 1, 1, tzinfo=UTC)) == 1


@pytest.mark.django_db
def test_a_figure_that_differs_without_a_date_holds_from_now_on(offers: list[Provider]) -> None:
    offer(offers, (None, "3"))
    sync("acme", now=NOW - timedelta(days=9))
    offer(offers, (None, "2"))
    done = sync("acme", now=NOW)
    assert (done.inserted, done.closed) == (1, 1)
    assert amount(NOW - timedelta(seconds=1)) == 3
    assert amount(NOW) == 2
    assert sync("acme", now=NOW + timedelta(days=1)).inserted == 0


@pytest.mark.django_db
def test_a_change_with_a_date_holds_from_that_date_though_it_is_heard_of_later(
    offers: list[Provider],
) -> None:
    offer(offers, (None, "3"))
    sync("acme", now=NOW - timedelta(days=90))
    offer(offers, (None, "3"), (on("2026-10-01"), "2"), (on("2026-11-01"), "1"))
    done = sync("acme", now=NOW)
    assert (done.inserted, done.closed) == (2, 1)
    assert rows() == [
        ("3", "1970-01-01", "2026-10-01"), ("2", "2026-10-01", "2026-11-01"), ("1", "2026-11-01", None),
    ]  # fmt: skip
    assert sync("acme", now=NOW + timedelta(days=1)).inserted == 0


@pytest.mark.django_db
def test_an_announced_change_that_is_taken_back_never_holds(offers: list[Provider]) -> None:
    offer(offers, (None, "3"), (on("2027-01-01"), "9"))
    sync("acme", now=NOW)
    offer(offers, (None, "3"))
    sync("acme", now=NOW + timedelta(days=1))
    for later in (NOW, datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)):
        assert amount(later) == 3
    assert sync("acme", now=datetime(2027, 6, 1, tzinfo=UTC)).inserted == 0


@pytest.mark.django_db
def test_an_announced_change_may_be_announced_anew(offers: list[Provider]) -> None:
    offer(offers, (None, "3"), (on("2027-01-01"), "9"))
    sync("acme", now=NOW)
    offer(offers, (None, "3"), (on("2027-01-01"), "4"), (on("2027-02-01"), "5"))
    sync("acme", now=NOW + timedelta(days=1))
    assert [amount(datetime(2026 + n // 12, n % 12 + 1, 15, tzinfo=UTC)) for n in (11, 12, 13)] == [3, 4, 5]
    assert sync("acme", now=datetime(2027, 6, 1, tzinfo=UTC)).inserted == 0


@pytest.mark.django_db
def test_a_tier_that_is_dropped_no_longer_lifts_large_inputs(offers: list[Provider]) -> None:
    tiered = TieredPrices(base=Decimal(1), tiers=[Tier(start=200_000, price=Decimal(2))])
    offer(offers, (None, "1"))
    offers[0].models[0].prices = ModelPrice(input_mtok=tiered, output_mtok=Decimal(1))
    sync("acme", now=NOW - timedelta(days=9))
    offer(offers, (None, "1"))
    sync("acme", now=NOW)
    assert [in_force(at, 200_001).input for at in (NOW - timedelta(days=1), NOW)] == [2, 1]  # type: ignore[union-attr]


@pytest.mark.django_db
def test_hours_of_the_day_hold_in_utc_whatever_the_clause_was_written_in(offers: list[Provider]) -> None:
    from datetime import timezone

    east = timezone(timedelta(hours=8))
    offer(offers, (None, "1"), (TimeOfDateConstraint(time(7, 0, tzinfo=east), time(9, 0, tzinfo=east)), "3"))
    sync("acme", now=NOW)
    found = [amount(NOW.replace(hour=hour, minute=59)) for hour in (22, 23, 0, 1)]
    assert found == [1, 3, 3, 1]


def test_two_syncs_at_once_insert_once(transactional_db: None, offers: list[Provider]) -> None:
    offer(offers, (None, "3"), (on("2026-01-01"), "2"))

    def one(_: int) -> int:
        try:
            return sync("acme", now=NOW).inserted
        finally:
            connection.close()

    try:
        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(one, range(4))) == [0, 0, 0, 2]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE lockstep_llm_price")


@pytest.mark.django_db
def test_a_contract_is_none_of_the_syncs_business(offers: list[Provider]) -> None:
    from lockstep.llm.money.entry import set_price

    offer(offers, (None, "3"))
    sync("acme", now=NOW)
    set_price("acme", "one", input=Decimal(1), output=Decimal(1), currency="GBP", since=NOW)
    offer(offers, (None, "2"))
    sync("acme", now=NOW + timedelta(days=1))
    assert amount(NOW + timedelta(days=2)) == 1
    assert Price.objects.get(source="contract").valid_to is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "models", "text"),
    [
        ("opnai", [], "no provider 'opnai'. Did you mean 'openai'?"),
        ("openai", ["gtp-5-minni"], "no model 'gtp-5-minni' of openai. Did you mean 'gpt-5-mini'?"),
    ],
)
def test_a_name_that_genai_prices_does_not_know_is_answered_with_the_nearest(
    provider: str, models: list[str], text: str
) -> None:
    with pytest.raises(PriceError, match=text.replace("?", r"\?")):
        sync(provider, models=models)
    assert Price.objects.count() == 0
