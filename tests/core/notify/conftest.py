from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.notify.receiver import Receiver, running
from tests.core.notify.sinks import Hanging, Memory

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def fresh_sinks() -> Iterator[None]:
    Memory.messages, Memory.down = [], False
    Hanging.free.clear()
    yield
    Hanging.free.set()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as started:
        yield started


@pytest.fixture
def sinks(settings: Any, monkeypatch: Any) -> Callable[..., None]:
    """Configures sinks by alias; ``notify`` settings by keyword."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)

    def configure(entries: dict[str, Any], **notify: Any) -> None:
        core = {"notify": {"sinks": entries, "timeout_s": 2.0, "poll_s": 0.05, **notify}}
        settings.LOCKSTEP = settings.LOCKSTEP | {"core": core}

    return configure


@pytest.fixture
def hook(receiver: Receiver, sinks: Callable[..., None]) -> Receiver:
    """One sink, ``ops``: a webhook to the receiver."""
    sinks({"ops": webhook(receiver, PER_MINUTE=10_000)})
    return receiver


@pytest.fixture
def memory(sinks: Callable[..., None]) -> type[Memory]:
    sinks({"memory": {"BACKEND": "tests.core.notify.sinks.Memory", "PER_MINUTE": 10_000}})
    return Memory


def webhook(receiver: Receiver, **entry: Any) -> dict[str, Any]:
    options = {"url": receiver.url, "secret_env": "HOOK_SECRET"}
    return {"BACKEND": "lockstep.core.notify.sinks.Webhook", "OPTIONS": options, **entry}
