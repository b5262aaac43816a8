"""Sockets between apps: null until somebody serves them, and back again after a test."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lockstep.core import ports
from lockstep.core.exceptions import PortError
from lockstep.core.ports import Notice, Port, Registry, Retained, Usage


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str | None]] = []

    @contextmanager
    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> Iterator[Usage]:
        self.seen.append((operation, provider, model, feature))
        yield Usage()


def measure() -> None:
    with ports.metering.get().measure(operation="embeddings", provider="onnx", model="m") as usage:
        usage.input_tokens = 3


def test_an_unserved_port_answers_with_a_null_implementation() -> None:
    measure()
    assert ports.redaction.get().redact("nobody redacts, so nothing is kept") is None
    assert ports.replay.get().call() is None


def test_a_notice_that_nobody_delivers_leaves_its_topic_in_the_log_but_not_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ports.notify.override(ports.LogNotices()):
        ports.notify.get().send(Notice("budgets.threshold", "Anna spent it all", body="secret"))
    assert "budgets.threshold" in caplog.text
    assert "Anna" not in caplog.text
    assert "secret" not in caplog.text


def test_an_override_is_seen_by_every_thread_and_ends_with_its_block() -> None:
    recorder = Recorder()
    with ports.metering.override(recorder), ThreadPoolExecutor() as pool:
        pool.submit(measure).result()
    measure()
    assert recorder.seen == [("embeddings", "onnx", "m", None)]


def test_an_override_ends_when_its_block_fails() -> None:
    before = ports.metering.get()
    with pytest.raises(RuntimeError), ports.metering.override(Recorder()):
        raise RuntimeError
    assert ports.metering.get() is before


def test_a_port_serves_one_app_and_names_both_when_a_second_one_comes() -> None:
    port: Port[object] = Port("metering", object())
    recorder = Recorder()
    port.register(recorder)
    port.register(recorder)
    with pytest.raises(PortError, match=r"'metering' is served by Recorder; Usage cannot"):
        port.register(Usage())
    port.reset()
    port.register(Usage())


def test_a_registry_keeps_entries_in_order_and_refuses_two_that_differ() -> None:
    registry: Registry[Retained] = Registry("retention")
    call, event = Retained("llm.Payload", ("body",)), Retained("streams.StreamEvent", ("data",))
    registry.register("llm.Payload", call)
    registry.register("streams.StreamEvent", event)
    registry.register("llm.Payload", call)
    assert list(registry.get().values()) == [call, event]
    with pytest.raises(PortError, match=r"'llm.Payload' is registered twice"):
        registry.register("llm.Payload", event)


def test_a_registry_can_be_emptied_for_a_block() -> None:
    registry: Registry[int] = Registry("numbers")
    registry.register("one", 1)
    with registry.override():
        assert registry.get() == {}
        registry.register("two", 2)
    assert registry.get() == {"one": 1}
    registry.reset()
    assert registry.get() == {}
