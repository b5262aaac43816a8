"""The kit that we ship: what a user's test sees of models without one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from langchain_core.tools import tool
from pydantic import BaseModel

from lockstep.core import features
from lockstep.llm import Feature, feature
from lockstep.llm.exceptions import (
    EndpointRefused,
    ProviderBadAnswer,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lockstep.llm.models import Price
from lockstep.testing.llm import (
    ProviderFailure,
    assert_calls,
    assert_max_cost,
    calls,
    fake_models,
    say,
    tool_call,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def support() -> Iterator[Feature]:
    yield feature("tests.kit", model="openai:gpt-5-mini", endpoints=("https://api.openai.com/v1",))
    features.forget("tests.kit")


@pytest.fixture
def price() -> None:
    Price.objects.create(
        provider="openai", model="gpt-5-mini", source="contract", currency="GBP", input=Decimal(1), output=Decimal(2),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


class Colour(BaseModel):
    name: str


@tool
def refund(order: int) -> str:
    """Give the money back."""
    return f"refunded {order}"


def test_a_script_answers_and_the_ledger_is_real(support: Feature, price: None) -> None:
    with fake_models(
        "Press the blue button.", say("Then wait.", input_tokens=1_000, output_tokens=10)
    ) as models:
        assert support.invoke("How do I reset it?").text == "Press the blue button."
        assert support.invoke("And then?").cost_micros == 1_020
    assert [request.model for request in models.requests] == ["openai:gpt-5-mini"] * 2
    assert models.requests[0].text == "How do I reset it?"
    assert_calls(2, feature="tests.kit", outcome="ok")
    assert_max_cost("0.0011")
    with pytest.raises(AssertionError, match=r"more than 0\.001"):
        assert_max_cost("0.001")
    with pytest.raises(AssertionError, match="2 calls instead of 3"):
        assert_calls(3)


def test_no_key_is_needed_and_no_price_is_an_answer(support: Feature) -> None:
    with fake_models("Yes."):
        support.invoke("Is it?")
    with pytest.raises(AssertionError, match="openai:gpt-5-mini"):
        assert_max_cost(1)


def test_a_script_that_is_too_short_says_what_was_asked(support: Feature) -> None:
    with fake_models("one"):
        support.invoke("first")
        with pytest.raises(AssertionError, match=r"asked 2 times.*'second'"):
            support.invoke("second")
    with fake_models(otherwise="always") as models:
        assert {support.invoke(str(n)).text for n in range(3)} == {"always"}
    assert len(models.requests) == 3


def test_streams_come_in_words(support: Feature) -> None:
    with fake_models(say("Press the blue button.", between_s=0.001)):
        stream = support.stream("How?")
        assert list(stream.text()) == ["Press ", "the ", "blue ", "button."]
    assert_calls(1, outcome="ok")


def test_errors_are_those_of_a_provider(support: Feature, monkeypatch: Any) -> None:
    monkeypatch.setattr("lockstep.llm.retries.BACKOFF_S", 0.0)
    with fake_models(ProviderFailure(429), ProviderFailure(500), "at last"):
        assert support.invoke("How?").text == "at last"
    assert_calls(2, outcome="error")
    with fake_models(ProviderFailure(400)), pytest.raises(ProviderRefused):
        support.invoke("How?")
    with fake_models(*[TimeoutError()] * 3), pytest.raises(ProviderTimeout):
        support.invoke("How?")
    with fake_models(KeyError("a prompt")), pytest.raises(ProviderBadAnswer, match="KeyError") as caught:
        support.invoke("How?")
    assert "a prompt" not in str(caught.value)
    with fake_models(say("half an ", error=ConnectionError())), pytest.raises(ProviderUnavailable):
        "".join(support.stream("How?").text())


def test_tools_agents_and_schemas(support: Feature) -> None:
    from langchain.agents import create_agent

    with fake_models(tool_call("refund", order=7), "Done."):
        answer = create_agent(support.chat_model(), [refund]).invoke({"messages": [("user", "refund 7")]})
    assert [message.text for message in answer["messages"]][-2:] == ["refunded 7", "Done."]
    assert calls().earliest("at").tools[0]["ok"] is True
    with fake_models(Colour(name="blue")):
        assert support.invoke("Which colour?", schema=Colour).parsed == Colour(name="blue")


def test_a_copy_of_the_connection_takes_no_part(support: Feature) -> None:
    other = connection.copy()
    other.connect()
    other.close()
    with fake_models(Colour(name="blue")):  # LangChain asks for it in a thread of its own
        assert support.invoke("Which colour?", schema=Colour).parsed == Colour(name="blue")
    assert_calls(1, outcome="ok")


def test_a_connection_of_an_event_loop_in_between_changes_nothing(support: Feature) -> None:
    async def meanwhile() -> None:
        link = connections["default"]  # another one than outside of the loop
        with unsafe_async():
            link.ensure_connection()
            link.close()

    asyncio.run(meanwhile())
    with fake_models("Yes."), ThreadPoolExecutor(1) as pool:
        pool.submit(support.invoke, "Is it?").result()
    assert_calls(1, outcome="ok")


@contextmanager
def unsafe_async() -> Iterator[None]:
    """As browser tests have it, whose driver keeps a loop in the main thread."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        yield
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def test_a_thread_that_has_used_the_database_takes_part_in_the_test(support: Feature) -> None:
    def ask_twice() -> None:
        Price.objects.count()  # opens a connection of this thread, which sees nothing of the test
        support.invoke("Is it?")
        connection.close()

    with fake_models("Yes."), ThreadPoolExecutor(1) as pool:
        pool.submit(ask_twice).result()
    assert_calls(1, outcome="ok")


def test_confinement_is_tested_too(support: Feature) -> None:
    with fake_models("never"), pytest.raises(EndpointRefused):
        support.invoke("How?", model="anthropic:large")


def test_the_asynchronous_twins(support: Feature) -> None:
    async def ask() -> str:
        return (await support.ainvoke("How?")).text

    with fake_models("So."):
        assert asyncio.run(ask()) == "So."
    assert_calls(1, outcome="ok")


def test_a_model_that_was_made_before_is_not_asked_either(support: Feature, monkeypatch: Any) -> None:
    """As a graph that is built when its module is imported."""
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    model = support.chat_model()
    bound = model.bind_tools([refund])

    async def apart() -> list[str]:
        return [
            (await model.ainvoke("How?")).text,
            "".join([piece.text async for piece in model.astream("How?")]),
        ]

    with fake_models(otherwise="So.") as models:
        assert [model.invoke("How?").text, bound.invoke("How?").text] == ["So."] * 2
        assert "".join(piece.text for piece in model.stream("How?")) == "So."
        assert asyncio.run(apart()) == ["So."] * 2
    assert len(models.requests) == 5
    assert_calls(5, outcome="ok", provider="openai")
