"""manage.py lockstep_prices, and the check that sends people there."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lockstep.core import features
from lockstep.llm.models import Call, Price, Rate
from lockstep.llm.money import lookup, tariff
from lockstep.llm.money.checks import check_prices
from lockstep.llm.money.entry import set_price
from lockstep.llm.money.exceptions import PriceError
from lockstep.llm.money.snapshot import priced_as
from lockstep.llm.money.unpriced import unpriced

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENTRY = {"BACKEND": "lockstep.llm.providers.openai.OpenAI"}


def prices(line: str) -> str:
    out = io.StringIO()
    call_command("lockstep_prices", *shlex.split(line), stdout=out)
    return out.getvalue()


@pytest.fixture
def only_features() -> Iterator[Callable[..., None]]:
    """Declares features; those of other modules are put aside meanwhile."""
    before = features.declared()
    for spec in before:
        features.forget(spec.name)

    def declare(**models: str) -> None:
        for name, model in models.items():
            features.declare(name, model=model)

    yield declare
    for spec in features.declared():
        features.forget(spec.name)
    for spec in before:
        features._declared[spec.name] = spec


# set


def test_a_contract_price_is_recorded_with_its_note_and_its_day() -> None:
    said = prices(
        "set openai gpt-5-mini --input 0.15 --output 1.2 --cache-read 0.015 --currency GBP --from 2026-11-10"
        " --contract --note 'framework agreement 7'"
    )
    row = Price.objects.get()
    assert (row.source, row.currency, row.input, row.output) == (
        "contract",
        "GBP",
        Decimal("0.15"),
        Decimal("1.2"),
    )
    assert (row.cache_read, row.cache_write, row.per_request) == (Decimal("0.015"), None, 0)
    assert (row.valid_from, row.note) == (datetime(2026, 11, 10, tzinfo=UTC), "framework agreement 7")
    assert said.startswith("Recorded: openai:gpt-5-mini GBP 0.15")


def test_a_price_for_a_dated_name_is_kept_under_the_models_name_and_says_so() -> None:
    said = prices("set openai gpt-5-mini-2025-08-07 --input 1 --output 2")
    assert Price.objects.get().model == "gpt-5-mini"
    assert "gpt-5-mini-2025-08-07 is priced as gpt-5-mini" in said


def test_a_new_price_ends_the_old_one_where_it_begins() -> None:
    prices("set vllm qwen --tariff --input 1 --output 1 --currency GBP --from 2026-01-01")
    said = prices("set vllm qwen --tariff --input 2 --output 2 --currency GBP --from 2026-06-01T09:00+01:00")
    old, new = Price.objects.order_by("valid_from")
    assert old.valid_to == new.valid_from == datetime(2026, 6, 1, 8, tzinfo=UTC)
    assert new.valid_to is None
    assert "Calls that were made since then keep the price" in said


def test_a_price_recorded_late_for_earlier_ends_where_the_next_began() -> None:
    prices("set vllm qwen --input 2 --output 2 --from 2026-06-01")
    prices("set vllm qwen --input 1 --output 1 --from 2026-01-01")
    earlier = Price.objects.get(input=1)
    assert earlier.valid_to == datetime(2026, 6, 1, tzinfo=UTC)
    assert [Price.objects.get(pk=price("vllm", "qwen", month)).input for month in (3, 7)] == [1, 2]


def price(provider: str, model: str, month: int, tokens: int = 0) -> int | None:
    return lookup.price_id(provider, model, datetime(2026, month, 1, tzinfo=UTC), tokens)


def test_the_same_day_again_is_a_correction() -> None:
    prices("set vllm qwen --input 2 --output 2 --from 2026-06-01")
    prices("set vllm qwen --input 3 --output 3 --from 2026-06-01")
    assert Price.objects.get(pk=price("vllm", "qwen", 7)).input == 3
    assert Price.objects.get(input=2).valid_to == datetime(2026, 6, 1, tzinfo=UTC)


def test_tiers_are_added_one_by_one_and_go_with_the_price_they_belong_to() -> None:
    prices("set acme one --input 1 --output 1 --from 2026-01-01")
    prices("set acme one --input 2 --output 2 --from 2026-01-01 --min-input-tokens 200001")
    found = [Price.objects.get(pk=price("acme", "one", 3, tokens)).input for tokens in (200_000, 200_001)]
    assert found == [1, 2]
    prices("set acme one --input 5 --output 5 --from 2026-06-01")
    found = [Price.objects.get(pk=price("acme", "one", 7, tokens)).input for tokens in (200_000, 200_001)]
    assert found == [5, 5]


def test_a_tariff_is_worked_out_from_the_machines_cost_and_speed() -> None:
    prices("set vllm qwen --tariff --currency GBP --gpu-hour-cost 2.10 --tokens-per-s 1500 --note 'rack 4'")
    row = Price.objects.get()
    assert (row.source, row.input, row.output) == ("tariff", Decimal("0.388888889"), Decimal("0.388888889"))
    assert row.note == "rack 4; 2.10 a GPU hour, 1 GPU, 1500 tokens/s, in use 1"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("set openai x --input -1 --output 2", "input must be a number of 0 or more, not -1"),
        ("set openai x --input nan --output 2", "input must be a number of 0 or more, not NaN"),
        ("set openai x --input cheap --output 2", "'cheap' is no number: write it like 0.25"),
        ("set openai x --input 1e7 --output 2", "at most 1,000,000"),
        ("set openai x --input 0.0000000001 --output 2", "more than nine decimals"),
        ("set openai x --input 1", "Give --input and --output"),
        ("set openai x --input 1 --output 2 --currency pounds", "'pounds' is no currency code"),
        ("set openai x --input 1 --output 2 --from yesterday", "'yesterday' is no date"),
        ("set openai x --input 1 --output 2 --min-input-tokens -5", "must be 0 or more, not -5"),
        ("set openai x --input 1 --output 2 --min-input-tokens 200001", "A tier belongs to a price"),
        ("set openai x --input 1 --output 2 --contract --tariff", "not allowed with argument"),
        ("set vllm x --gpu-hour-cost 2", "Give --gpu-hour-cost and --tokens-per-s"),
        ("set vllm x --gpu-hour-cost 2 --tokens-per-s 0", "tokens_per_s must be a positive number"),
        ("set vllm x --gpu-hour-cost 2 --tokens-per-s 9 --input 1 --output 1", "or --input and --output"),
        ("set vllm x --gpu-hour-cost 2 --tokens-per-s 9 --utilisation 1.5", "at most 1, not 1.5"),
        ("rate USD GBP 0 --on 2026-11-01 --source x", "rate must be above 0"),
        ("rate USD GBP -1 --on 2026-11-01 --source x", "rate must be above 0"),
        ("rate USD USD 1 --on 2026-11-01 --source x", "between two currencies"),
        ("rate usd GBP 1 --on 2026-11-01 --source x", "'usd' is no currency code"),
        ("rate USD GBP 0.7612 --on 1.11.2026 --source x", "'1.11.2026' is no date: write it like 2026-11-01"),
        ("rate USD GBP 0.7612 --on 2026-11-01", "--source"),
        ("rate USD GBP 0.7612 --on 2026-11-01 --source ' '", "needs its source"),
        ("sync --provider opnai", "Did you mean 'openai'?"),
        ("sync --provider openai anthropic --model gpt-5-mini", "--model needs one provider"),
        ("check --database other", "No database 'other'"),
        ("", "required"),
    ],
)
def test_a_wrong_figure_is_refused_with_what_to_write_instead(line: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        prices(line)
    assert text in str(caught.value)
    assert (Price.objects.count(), Rate.objects.count()) == (0, 0)


def test_a_provider_that_the_settings_do_not_name_is_a_slip(settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": {"vllm": ENTRY}}}
    with pytest.raises(CommandError, match=r"has no 'vlm'\. Did you mean 'vllm'"):
        prices("set vlm qwen --input 1 --output 1")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(PriceError, match="aware"):
        set_price("acme", "one", input=Decimal(1), output=Decimal(1), since=datetime(2026, 1, 1))


# tariffs


def test_prompt_and_answer_may_run_at_different_speeds() -> None:
    """£2.10 an hour; 10,000 tokens a second read, 1,000 written: 2.1 / 3.6 = 0.58333 per million written."""
    found = tariff("2.10", 1_000, input_tokens_per_s=10_000)
    assert (found.input, found.output) == (Decimal("0.058333333"), Decimal("0.583333333"))


def test_a_server_that_idles_three_quarters_of_the_time_costs_four_times_as_much() -> None:
    assert tariff(9, 1_000, gpus=2).output == tariff(18, 1_000).output == 5
    assert tariff(9, 1_000, gpus=2, utilisation="0.25").output == 20


# sync and list


def test_sync_takes_the_providers_in_use(only_features: Any, settings: Any) -> None:
    only_features(support="openai:gpt-5-mini")
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": {"perplexity": ENTRY, "vllm": ENTRY}}}
    said = prices("sync")
    assert set(Price.objects.values_list("provider", flat=True)) == {"openai", "perplexity"}
    assert "perplexity: " in said
    assert "0 closed" in said
    assert "no price per token:" in said


def test_an_alias_takes_the_list_prices_that_its_settings_name(only_features: Any, settings: Any) -> None:
    only_features()
    entries = {"openai-eu": ENTRY | {"PRICES": "openai"}, "mistral": ENTRY | {"PRICES": ""}}
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": entries}}
    assert "openai-eu: 1 models" in prices("sync --model gpt-5-mini")
    assert set(Price.objects.values_list("provider", flat=True)) == {"openai-eu"}
    assert priced_as("openai-eu", "gpt-5-mini-2025-08-07") == "gpt-5-mini"
    assert priced_as("mistral", "mistral-small-latest") == "mistral-small-latest"


def test_sync_without_any_provider_says_how_to_name_one(only_features: Any, settings: Any) -> None:
    only_features()
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": {"vllm": ENTRY}}}
    with pytest.raises(CommandError, match="Name one: --provider openai"):
        prices("sync")


def test_list_shows_what_holds_at_a_moment() -> None:
    prices("set openai gpt-5-mini --input 0.25 --output 2 --currency USD --from 2026-01-01 --note first")
    prices("set openai gpt-5-mini --input 0.5 --output 4 --currency USD --from 2026-06-01 --note second")
    prices("set mistral mistral-small-latest --input 1 --output 5 --currency USD --from 2026-01-01")
    prices("rate USD GBP 0.7400 --on 2026-01-01 --source 'Bank of England'")
    prices("rate USD GBP 0.7612 --on 2026-06-01 --source 'Bank of England'")
    spring, now = (
        prices("list --at 2026-03-01"),
        prices("list --provider openai --model gpt-5-mini-2025-08-07"),
    )
    assert "first" in spring
    assert "second" not in spring
    assert "mistral:mistral-small-latest" in spring
    assert "1 USD = 0.74 GBP on 2026-01-01 (Bank of England)" in spring
    assert "second" in now
    assert "mistral" not in now
    assert now.count("USD = ") == 1


# what is missing


def test_check_names_each_model_without_a_price_and_the_line_that_mends_it(only_features: Any) -> None:
    only_features(answer="openai:gpt-5-mini", draft="vllm:qwen", plain="")
    with pytest.raises(CommandError) as caught:
        prices("check")
    assert caught.value.returncode == 1
    assert str(caught.value).splitlines() == [
        "2 without a cost in GBP:",
        "openai:gpt-5-mini (answer): no price.",
        "    manage.py lockstep_prices sync --provider openai",
        "vllm:qwen (draft): no price.",
        "    manage.py lockstep_prices set vllm qwen --input … --output … --currency GBP",
    ]


def test_check_asks_for_the_exchange_rate_and_then_is_content(only_features: Any) -> None:
    only_features(answer="openai:gpt-5-mini-2025-08-07")
    prices("sync --provider openai --model gpt-5-mini")
    (missing,) = unpriced("GBP", at=NOW)
    assert missing.why == "no exchange rate from USD to GBP"
    assert missing.mend == "manage.py lockstep_prices rate USD GBP … --on 2026-11-22 --source …"
    prices("rate USD GBP 0.7612 --on 2026-11-01 --source 'Bank of England'")
    assert unpriced("GBP", at=NOW) == []
    assert prices("check") == "Every model in use has a price in GBP.\n"
    assert unpriced("USD", at=NOW) == []


def test_check_finds_calls_without_a_cost_until_their_model_has_a_price(only_features: Any) -> None:
    only_features()
    for number in range(3):
        Call.objects.create(
            id=UUID(int=number), invocation=UUID(int=number), operation="chat", provider="vllm", request_model="qwen",
            state="settled", bound_input=1, bound_output=1, currency="GBP", at=datetime.now(UTC),
        )  # fmt: skip
    with pytest.raises(CommandError, match=r"vllm:qwen \(3 calls in 30 days\): no price\."):
        prices("check")
    prices("set vllm qwen --tariff --input 1 --output 1 --currency GBP")
    assert "Every model in use" in prices("check")


def test_the_system_check_warns_with_the_line_to_type(only_features: Any) -> None:
    only_features(answer="openai:gpt-5-mini")
    (warning,) = check_prices(databases=["default"])
    assert (warning.id, warning.hint) == (
        "lockstep_llm.W001",
        "manage.py lockstep_prices sync --provider openai",
    )
    assert warning.msg == "openai:gpt-5-mini (answer): no price. Its calls are recorded without a cost."


def test_the_system_check_is_silent_without_a_database_and_before_the_tables_are_there(
    only_features: Any,
) -> None:
    only_features(answer="openai:gpt-5-mini")
    assert check_prices() == check_prices(databases=[]) == []
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION lockstep_llm_cost_v1(bigint, bigint, int, int, int, int)")
    assert check_prices(databases=["default"]) == []
