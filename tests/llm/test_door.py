"""Every way through the door: as many rows as requests, and each row says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from lockstep.core import context
from lockstep.llm import Feature
from lockstep.llm.models import Call, Price
from tests.llm.chat_server import ChatServer

pytestmark = pytest.mark.django_db
HELLO = [HumanMessage("How do I reset it?")]


class Refund(BaseModel):
    """Money back."""

    order: int


@tool
def refund(order: int) -> str:
    """Give the money back."""
    return f"refunded {order}"


def agent(model: Any) -> Any:
    from langchain.agents import create_agent

    return create_agent(model, [refund])


ASK = {"messages": [("user", "refund order 7")]}


def consume(stream: Any) -> None:
    for _ in stream:
        pass


async def aconsume(stream: Any) -> None:
    async for _ in stream:
        pass


PATHS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda m: m.invoke(HELLO),
    "stream": lambda m: consume(m.stream(HELLO)),
    "batch": lambda m: m.batch([HELLO, HELLO, HELLO]),
    "generate": lambda m: m.generate([HELLO, HELLO]),
    "bind_tools": lambda m: m.bind_tools([refund]).invoke(HELLO),
    "bind_tools stream": lambda m: consume(m.bind_tools([refund]).stream(HELLO)),
    "structured output by tool": lambda m: m.with_structured_output(Refund, method="function_calling").invoke(
        HELLO
    ),
    "structured output by schema": lambda m: m.with_structured_output(Refund, method="json_schema").invoke(
        HELLO
    ),
    "fallbacks": lambda m: m.with_fallbacks([m]).invoke(HELLO),
    "retry": lambda m: m.with_retry().invoke(HELLO),
    "streaming model": lambda m: m.model_copy(update={"streaming": True}).invoke(HELLO),
    "agent": lambda m: agent(m).invoke(ASK),
    "agent stream": lambda m: consume(agent(m).stream(ASK, stream_mode="messages")),
}
ASYNC_PATHS: dict[str, Callable[[Any], Any]] = {
    "ainvoke": lambda m: m.ainvoke(HELLO),
    "astream": lambda m: aconsume(m.astream(HELLO)),
    "abatch": lambda m: m.abatch([HELLO, HELLO]),
    "agent": lambda m: agent(m).ainvoke(ASK),
    "agent astream": lambda m: aconsume(agent(m).astream(ASK, stream_mode="messages")),
    "astream_events v2": lambda m: aconsume(m.astream_events(HELLO, version="v2")),
    "agent astream_events v2": lambda m: aconsume(agent(m).astream_events(ASK, version="v2")),
}


@pytest.mark.filterwarnings("ignore:Unexpected type for token usage")  # LangChain's, adding up two answers
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_as_many_rows_as_requests(
    path: Callable[[Any], Any], support: Feature, server: ChatServer, price: Price
) -> None:
    path(support.chat_model())
    assert server.seen
    assert Call.objects.count() == len(server.seen)
    assert not Call.objects.exclude(state="settled", outcome="ok", usage_source="provider").exists()


@pytest.mark.parametrize("path", ASYNC_PATHS.values(), ids=ASYNC_PATHS)
def test_as_many_rows_as_requests_without_blocking(
    path: Callable[[Any], Any], support: Feature, server: ChatServer, price: Price
) -> None:
    asyncio.run(path(support.chat_model()))
    assert server.seen
    assert Call.objects.count() == len(server.seen)
    assert not Call.objects.exclude(state="settled", outcome="ok", usage_source="provider").exists()


def test_one_model_serves_one_event_loop_after_another(support: Feature, server: ChatServer) -> None:
    model = support.chat_model()
    for _ in range(3):
        asyncio.run(model.ainvoke(HELLO))
        asyncio.run(aconsume(model.astream(HELLO)))
    assert Call.objects.filter(outcome="ok").count() == len(server.seen) == 6


def test_an_answer_out_of_langchains_cache_costs_nothing(support: Feature, server: ChatServer) -> None:
    set_llm_cache(InMemoryCache())
    try:
        model = support.chat_model()
        model.invoke(HELLO)
        model.invoke(HELLO)
    finally:
        set_llm_cache(None)
    assert Call.objects.count() == len(server.seen) == 1


def test_a_row_says_who_asked_what_for_how_much(
    support: Feature, server: ChatServer, price: Price, django_user_model: Any
) -> None:
    user = django_user_model.objects.create(username="alice")
    with context.use(run="r7", node="draft"):
        reply = support.invoke("How do I reset it?", user=user, cohort="trial", tenant="acme")
    row = Call.objects.get()
    assert reply.text == "Press the blue button."
    assert (str(row.id), reply.cost_micros) == (reply.call, row.cost_micros)
    assert row.cost_micros == 100 * 1 + 20 * 2
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.reasoning_tokens) == (
        100,
        20,
        40,
        5,
    )
    assert (row.feature, row.cohort, row.tenant, row.run, row.node) == (
        "tests.support",
        "trial",
        "acme",
        "r7",
        "draft",
    )
    assert (row.provider, row.endpoint, row.request_model, row.response_model) == (
        "local",
        server.url,
        "m",
        "served-model",
    )
    assert (row.finish_reason, row.currency) == ("stop", "GBP")
    assert row.user_key
    assert "alice" not in row.user_key
    assert row.latency_ms is not None
    assert row.bound_micros >= row.cost_micros


def test_a_stream_has_a_reply_and_the_time_of_its_first_piece(support: Feature, price: Price) -> None:
    stream = support.stream("How?")
    assert "".join(stream.text()).strip() == "Press the blue button."
    row = Call.objects.get()
    assert stream.reply.cost_micros == row.cost_micros == 140
    assert row.first_token_ms is not None
    assert row.first_token_ms <= row.latency_ms


def test_the_asynchronous_twins(support: Feature, server: ChatServer) -> None:
    async def all_of_them() -> None:
        assert (await support.ainvoke("How?")).text == "Press the blue button."
        stream = await support.astream("How?")
        assert "".join([piece.text async for piece in stream]).strip() == "Press the blue button."
        assert stream.reply.call
        replies = await support.abatch(["one", "two"])
        assert [reply.text for reply in replies] == ["Press the blue button."] * 2  # type: ignore[union-attr]

    asyncio.run(all_of_them())
    assert Call.objects.filter(outcome="ok").count() == len(server.seen) == 4


def test_a_batch_keeps_the_context_and_the_place_of_what_failed(support: Feature, server: ChatServer) -> None:
    server.script = [lambda h: h.answer({"error": {"message": "no"}}, 400)]
    replies = support.batch(["one", "two", "three"], workers=1, cohort="trial")
    assert [isinstance(reply, Exception) for reply in replies] == [True, False, False]
    assert set(Call.objects.values_list("cohort", flat=True)) == {"trial"}


def test_a_schema_is_asked_for_and_read(support: Feature) -> None:
    reply = support.invoke("refund order 7", schema=Refund)
    assert reply.parsed == Refund(order=7)
    assert Call.objects.get().outcome == "ok"


def test_tools_are_on_the_row_with_what_became_of_them(support: Feature, server: ChatServer) -> None:
    agent(support.chat_model()).invoke(ASK)
    first, second = Call.objects.order_by("at")
    assert first.tools == [{"id": "call_1", "name": "refund", "ok": True}]
    assert second.tools == []


def test_anthropics_answers_are_counted_alike(support: Feature, server: ChatServer) -> None:
    model = support.chat_model("messages:large")
    model.invoke(HELLO)
    consume(model.stream(HELLO))
    asyncio.run(model.ainvoke(HELLO))
    asyncio.run(aconsume(model.astream(HELLO)))
    assert len(server.seen) == 4
    rows = Call.objects.values_list(
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "outcome"
    )
    assert set(rows) == {(100, 20, 30, 10, "ok")}


def test_what_became_of_a_call_is_noted_later(support: Feature) -> None:
    reply = support.invoke("How?")
    reply.report_outcome("resolved", 5)
    row = Call.objects.get()
    assert (row.result, row.result_value) == ("resolved", 5)
    assert row.result_at
