"""Beginning and ending a call: what the two functions write, whatever comes in between."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from lockstep.core.ids import new_id
from lockstep.core.models import Feature
from lockstep.llm.ledger import Asked, Told, Usage, begin, end, lapse, widen
from lockstep.llm.models import Call, Price, Rate

pytestmark = pytest.mark.django_db
USAGE = Usage(1_000, 500, cache_read_tokens=400)


def asked(**changes: Any) -> Asked:
    new = new_id()
    plain = Asked(
        id=new, invocation=new, attempt=1, operation="chat", provider="openai", model="m", priced_as="m",
        endpoint="https://models.test/v1", bound_input=2_000, bound_output=1_000, feature="support.answer",
    )  # fmt: skip
    return replace(plain, **changes)


def told(call: str, **changes: Any) -> Told:
    return replace(Told(call, "ok", "usage", USAGE, latency_ms=12, response_model="m-1"), **changes)


@pytest.fixture
def prices() -> None:
    Price.objects.create(
        provider="openai", model="m", source="contract", currency="USD", input=Decimal(2), output=Decimal(8),
        cache_read=Decimal("0.5"), cache_write=Decimal(3), valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    Rate.objects.create(base="USD", quote="GBP", rate=Decimal("0.8"), on_date="2026-01-01", source="test")


def test_a_call_is_one_row_from_reservation_to_settlement(prices: None) -> None:
    call = asked(cohort="trial", tenant="acme", user_key="abc", run="r1", node="draft")
    begun = begin(call)
    row = Call.objects.get()
    assert (begun.refused, begun.model) == (None, "openai:m")
    assert (row.state, row.outcome, row.cost_micros) == ("reserved", "", None)
    # 2,000 in at the dearest, cache writes, 1,000 out: (2000 x 3 + 1000 x 8) x .8
    assert row.bound_micros == 11_200
    assert end(told(call.id), call).cost_micros == round((600 * 2 + 400 * 0.5 + 500 * 8) * 0.8)
    row.refresh_from_db()
    assert (row.state, row.outcome, row.usage_source, row.currency) == ("settled", "ok", "provider", "GBP")
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens) == (1_000, 500, 400)
    assert (row.cohort, row.tenant, row.user_key, row.run, row.node) == (
        "trial",
        "acme",
        "abc",
        "r1",
        "draft",
    )
    assert str(row.id) == call.id
    assert row.settled_at >= row.at


def test_both_ends_may_be_repeated(prices: None) -> None:
    call = asked()
    assert begin(call) == begin(call)
    first = end(told(call.id), call).cost_micros
    assert end(told(call.id, usage=Usage(9, 9)), call).cost_micros == first
    assert Call.objects.get().input_tokens == 1_000


def test_a_settlement_writes_a_reservation_that_was_lost(prices: None) -> None:
    call = asked()
    assert end(told(call.id), call).cost_micros == 4320
    assert Call.objects.get().state == "settled"


def test_an_unknown_price_is_recorded_as_unknown_and_not_as_nothing() -> None:
    call = asked()
    begin(call)
    assert end(told(call.id), call).cost_micros is None
    assert Call.objects.unpriced().count() == 1


def test_what_cannot_be_counted_is_charged_at_its_bound_and_what_was_not_sent_is_free(prices: None) -> None:
    one, other = asked(), asked()
    begin(one), begin(other)
    assert end(told(one.id, outcome="error", charge="bound", usage=None), one).cost_micros == 11_200
    assert end(told(other.id, outcome="error", charge="none", usage=None), other).cost_micros == 0
    assert {row.usage_source for row in Call.objects.all()} == {"bound", "none"}


def test_a_call_that_never_comes_back_lapses_at_its_bound_and_may_still_be_settled(
    prices: None, settings: Any
) -> None:
    call = asked()
    begin(call)
    assert lapse() == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    begin(asked())
    row = Call.objects.get(pk=call.id)
    assert (row.state, row.cost_micros, row.error_type) == ("lapsed", 11_200, "NeverCameBack")
    assert end(told(call.id), call).cost_micros == 4320
    row.refresh_from_db()
    assert (row.state, row.outcome) == ("settled", "ok")


def test_a_feature_that_is_switched_off_is_refused_and_the_refusal_is_a_row() -> None:
    Feature.objects.create(name="support.answer", data_class="internal", enabled=False)
    call = asked()
    assert begin(call).refused == "feature_off"
    row = Call.objects.get()
    assert (row.state, row.outcome, row.error_type, row.cost_micros) == (
        "refused",
        "refused",
        "feature_off",
        0,
    )
    assert begin(call).refused == "feature_off"
    assert not Call.objects.made().exists()


def test_a_prompt_without_a_release_takes_the_fallback_or_is_refused() -> None:
    assert begin(asked(prompt="greeting")).refused == "no_release"
    begun = begin(asked(prompt="greeting", fallback_version="f" * 64))
    assert (begun.refused, begun.prompt_version) == (None, "f" * 64)
    assert Call.objects.get(state="reserved").prompt_version == "f" * 64


def test_the_outcome_of_a_tool_is_noted_on_the_call_that_asked_for_it() -> None:
    call = asked()
    begin(call)
    wanted = [{"id": "t1", "name": "refund", "ok": None}, {"id": "t2", "name": "mail", "ok": None}]
    end(told(call.id, tools=wanted), call)
    begin(asked(tools_done=[{"call": call.id, "id": "t2", "ok": False}]))
    tools = Call.objects.get(pk=call.id).tools
    assert [tool["ok"] for tool in tools] == [None, False]


def test_a_price_that_changes_while_a_call_is_under_way_does_not_change_it(prices: None) -> None:
    call = asked()
    begin(call)
    Price.objects.create(
        provider="openai", model="m", source="contract", currency="USD", input=Decimal(9), output=Decimal(9),
        valid_from=timezone.now() + timedelta(seconds=0),
    )  # fmt: skip
    assert end(told(call.id), call).cost_micros == 4320


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(50)]
    assert ids == sorted(ids)
    assert uuid.UUID(ids[0]).version == 7


def test_what_comes_out_longer_than_was_reckoned_is_reserved_before_it_leaves(prices: None) -> None:
    call = asked()
    assert begin(call).bound_input == 2_000
    assert widen(call, 1_000) == {}
    assert Call.objects.get().bound_input == 2_000
    assert widen(call, 3_000) == {}
    row = Call.objects.get()
    assert (row.bound_input, row.bound_micros) == (3_000, round((3_000 * 3 + 1_000 * 8) * 0.8))
