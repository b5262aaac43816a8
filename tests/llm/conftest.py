from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lockstep.core import features
from lockstep.llm import Feature, feature
from lockstep.llm.models import Price
from tests.llm.chat_server import ChatServer, running


@pytest.fixture
def server(settings: Any, monkeypatch: Any) -> Iterator[ChatServer]:
    """Providers ``local`` (OpenAI's shape) and ``messages`` (Anthropic's) on a server of the test's own."""
    monkeypatch.setenv("TEST_KEY", "a key")
    with running() as started:
        settings.LOCKSTEP = settings.LOCKSTEP | {"llm": llm_settings(started)}
        yield started


def llm_settings(server: ChatServer, **more: Any) -> dict[str, Any]:
    providers = {
        "local": {
            "BACKEND": "lockstep.llm.providers.openai.OpenAI",
            "OPTIONS": {"base_url": server.url, "api_key_env": "TEST_KEY"},
        },
        "messages": {
            "BACKEND": "lockstep.llm.providers.anthropic.Anthropic",
            "OPTIONS": {"base_url": server.url.removesuffix("/v1"), "api_key_env": "TEST_KEY"},
        },
        "standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"},
    }
    return {"providers": providers, "timeout_s": 5.0, "currency": "GBP", **more}


@pytest.fixture
def support(server: ChatServer) -> Iterator[Feature]:
    """A feature on the local server, with a price of 1 and 2 micro-pounds a token."""
    yield feature("tests.support", owner="support@example.com", model="local:m")
    features.forget("tests.support")


@pytest.fixture
def price(db: None) -> Price:
    return Price.objects.create(
        provider="local", model="m", source="tariff", currency="GBP", input=Decimal(1), output=Decimal(2),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
