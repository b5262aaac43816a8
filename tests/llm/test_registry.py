"""Models are built once for the process, and no longer used than they are right."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lockstep.llm import Feature, feature
from lockstep.llm.models import Call, Price
from lockstep.llm.providers import chat_model, route
from tests.llm.chat_server import ChatServer
from tests.llm.conftest import llm_settings


def test_a_model_without_parameters_is_built_once_and_one_with_them_each_time(support: Feature) -> None:
    assert support.chat_model() is support.chat_model()
    warm = support.chat_model(temperature=0.9)
    assert warm is not support.chat_model(temperature=0.9)
    assert support.chat_model().temperature != 0.9


def test_features_do_not_share_a_model(support: Feature) -> None:
    other = feature("tests.support.other", model="local:m")
    try:
        assert other.chat_model() is not support.chat_model()
        assert other.chat_model()._route.feature is other.spec
    finally:
        from lockstep.core import features

        features.forget("tests.support.other")


@pytest.mark.django_db
def test_a_key_that_is_turned_is_used_from_the_next_call_on(
    support: Feature, price: Price, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    support.invoke("How?")
    monkeypatch.setenv("TEST_KEY", "another key")
    support.invoke("How?")
    keys = [{name.lower(): value for name, value in headers.items()} for _, headers, _ in server.seen]
    assert [found["authorization"] for found in keys] == ["Bearer a key", "Bearer another key"]


def test_other_settings_make_another_model(support: Feature, server: ChatServer, settings: Any) -> None:
    before = support.chat_model()
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": llm_settings(server, max_output_tokens=7)}
    assert support.chat_model() is not before
    assert support.chat_model().max_tokens == 7


@pytest.mark.django_db(transaction=True)
def test_loops_that_have_ended_are_not_kept(support: Feature, price: Price, server: ChatServer) -> None:
    for _ in range(5):
        asyncio.run(support.ainvoke("How?"))
    kept = chat_model(route("local:m", support.spec))._siblings
    assert (Call.objects.count(), len(server.seen)) == (5, 5)
    assert len([loop for loop in list(kept) if loop.is_closed()]) <= 1
