"""Models that say what a test tells them to, and assertions over the ledger.

::

    def test_the_answer_names_the_button(db):
        with fake_models("Press the blue button.") as models:
            reply = support.invoke("How do I reset it?")
        assert reply.text == "Press the blue button."
        assert "reset" in models.requests[0].text
        assert_calls(1, feature="support.answer")
        assert_max_cost("0.01")

Everything but the network is real: rendering, the ledger, prices, retries, confinement.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.test.utils import override_settings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel, PrivateAttr

from lockstep.llm.conf import settings
from lockstep.llm.metering import Metered, metered, stand_ins
from lockstep.llm.models import Call
from lockstep.llm.providers import chat_model, get_provider

__all__ = [
    "FakeModels",
    "ProviderFailure",
    "Request",
    "Scripted",
    "assert_calls",
    "assert_max_cost",
    "calls",
    "fake_models",
    "say",
    "tool_call",
]


class ProviderFailure(Exception):
    """An error as a provider's SDK raises it.

    Args:
        status: of HTTP: 400, 401, 429, 500 …
        retry_after_s: what the provider asks for.
    """

    def __init__(
        self, status: int, message: str = "the provider says no", *, retry_after_s: float | None = None
    ):
        super().__init__(message)
        self.status_code = status
        headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        self.response = type("Response", (), {"headers": headers, "status_code": status})()


@dataclass(frozen=True)
class Scripted:
    """One answer of a fake model."""

    text: str = ""
    tools: Sequence[tuple[str, dict[str, Any]]] = ()
    """(name, arguments) of tools that it wants called."""
    error: BaseException | None = None
    """Raised instead, or after ``text`` when it is streamed."""
    delay_s: float = 0.0
    """Before the first word."""
    between_s: float = 0.0
    """Before each other word of a stream."""
    input_tokens: int | None = None
    """None counts words; 0 says that the provider does not count."""
    output_tokens: int | None = None
    cache_read_tokens: int = 0


def say(text: str, **how: Any) -> Scripted:
    """An answer with delays, token counts …, see ``Scripted``."""
    return Scripted(text, **how)


def tool_call(name: str, **arguments: Any) -> Scripted:
    """The model wants a tool called."""
    return Scripted(tools=((name, arguments),))


@dataclass(frozen=True)
class Request:
    """What a fake model was asked."""

    model: str
    """``provider:name``."""
    messages: tuple[BaseMessage, ...]
    parameters: dict[str, Any]

    @property
    def text(self) -> str:
        """All messages, one below the other."""
        return "\n".join(message.text for message in self.messages)


@dataclass
class FakeModels:
    """The script, and what was asked."""

    script: list[Any] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    otherwise: Any = None

    def next(self, request: Request) -> Scripted:
        """The answer to the next request.

        Raises:
            AssertionError: the script is at its end.
        """
        self.requests.append(request)
        if not self.script and self.otherwise is None:
            raise AssertionError(
                f"The fake models were asked {len(self.requests)} times, and their script had"
                f" {len(self.requests) - 1} answers. The last question: {request.text[-200:]!r}"
            )
        return _scripted(self.script.pop(0) if self.script else self.otherwise)


_now: list[FakeModels] = []


@contextmanager
def fake_models(*script: Any, otherwise: Any = None) -> Iterator[FakeModels]:
    """No provider is asked in this block: the script answers, whatever the model, also one that was made before.

    Args:
        script: one item a request: a text; ``say(...)``; ``tool_call(...)``; an exception, for instance
            ``ProviderFailure(429)``; or a pydantic object, for calls with a schema.
        otherwise: the answer when the script is at its end; None makes that an AssertionError.
    """
    from django.conf import settings as django_settings

    models = FakeModels(list(script), otherwise=otherwise)
    faked = {
        alias: {key: value for key, value in entry.items() if key not in ("BACKEND", "OPTIONS")}
        | {"BACKEND": f"{__name__}.FakeProvider", "OPTIONS": {"alias": alias, "endpoint": _endpoint(alias)}}
        for alias, entry in settings().providers.items()
    }
    whole = dict(getattr(django_settings, "LOCKSTEP", {}))
    whole["llm"] = {**whole.get("llm", {}), "providers": faked}
    with override_settings(LOCKSTEP=whole):
        _now.append(models)
        stand_ins.append(_faked)
        try:
            yield models
        finally:
            stand_ins.pop()
            _now.remove(models)


def calls(**where: Any) -> Any:
    """The rows of the ledger, filtered: ``calls(feature="support.answer", outcome="ok")``."""
    return Call.objects.using(settings().database).filter(**where)


def assert_calls(count: int, **where: Any) -> None:
    """Exactly so many requests are on the ledger.

    Args:
        where: fields of ``lockstep.llm.models.Call``.
    """
    found = list(calls(**where))
    if len(found) != count:
        lines = "\n".join(
            f"  {call.feature} {call.provider}:{call.request_model} {call.state} {call.outcome} {call.error_type}"
            for call in found
        )
        raise AssertionError(f"{len(found)} calls instead of {count}:\n{lines or '  (none)'}")


def assert_max_cost(most: Decimal | str | int, **where: Any) -> None:
    """All calls together cost at most so much, in the ledger's currency. One without a price fails.

    Args:
        most: ``"0.05"``.
    """
    found = list(calls(**where))
    unpriced = sorted({f"{c.provider}:{c.request_model}" for c in found if c.cost_micros is None})
    if unpriced:
        raise AssertionError(
            f"Nobody knows what these cost: {', '.join(unpriced)}. Insert a price in the test."
        )
    spent = Decimal(sum(call.cost_micros or 0 for call in found)) / 1_000_000
    if spent > Decimal(most):
        raise AssertionError(f"{len(found)} calls cost {spent} {settings().currency}, more than {most}.")


class FakeChatModel(BaseChatModel):
    """Answers from the script of the innermost ``fake_models``."""

    model: str
    _fakes: FakeModels = PrivateAttr()

    @property
    def _llm_type(self) -> str:
        return "lockstep-fake"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._answer(messages, kwargs)
        if answer.error:
            raise answer.error
        message = AIMessage(
            content=answer.text,
            tool_calls=[
                {"name": n, "args": a, "id": f"call_{at}"} for at, (n, a) in enumerate(answer.tools, 1)
            ],
            usage_metadata=_usage(messages, answer),
            response_metadata=self._said(answer),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages, kwargs)
        words = answer.text.split(" ") if answer.text else []
        for at, word in enumerate(words):
            if at:
                time.sleep(answer.between_s)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " " * (at < len(words) - 1)))
        if answer.error:
            raise answer.error
        chunks = [
            tool_call_chunk(name=name, args=_json(arguments), id=f"call_{at}", index=at - 1)
            for at, (name, arguments) in enumerate(answer.tools, 1)
        ]
        last = AIMessageChunk(
            content="",
            tool_call_chunks=chunks,
            usage_metadata=_usage(messages, answer),
            response_metadata=self._said(answer),
        )
        yield ChatGenerationChunk(message=last)

    def _answer(self, messages: list[BaseMessage], parameters: dict[str, Any]) -> Scripted:
        answer = self._fakes.next(Request(self.model, tuple(messages), dict(parameters)))
        time.sleep(answer.delay_s)
        return answer

    def _said(self, answer: Scripted) -> dict[str, Any]:
        return {
            "finish_reason": "tool_calls" if answer.tools else "stop",
            "model_name": self.model.partition(":")[2],
        }


class FakeProvider:
    """Stands in for every provider inside ``fake_models``."""

    def __init__(self, *, alias: str, endpoint: str = "") -> None:
        self.alias = alias
        self.endpoint = endpoint

    def chat(self, name: str, **parameters: Any) -> Metered:
        model: Any = metered(FakeChatModel)(model=f"{self.alias}:{name}")  # type: ignore[call-arg]
        model._fakes = _now[-1]
        found: Metered = model
        return found


def _faked(model: Metered) -> Metered:
    return model if isinstance(model, FakeChatModel) else chat_model(model._route)


def _endpoint(alias: str) -> str:
    """Where it would have gone, so that confinement is tested too."""
    try:
        return get_provider(alias).endpoint
    except Exception:  # a provider that cannot be built here, its package missing for instance
        return ""


def _scripted(item: Any) -> Scripted:
    if isinstance(item, Scripted):
        return item
    if isinstance(item, BaseException):
        return Scripted(error=item)
    if isinstance(item, BaseModel):
        return Scripted(tools=((type(item).__name__, item.model_dump(mode="json")),))
    return Scripted(str(item))


def _usage(messages: Sequence[BaseMessage], answer: Scripted) -> UsageMetadata | None:
    if answer.input_tokens == 0:
        return None
    read = answer.input_tokens or max(1, sum(len(message.text.split()) for message in messages))
    wrote = len(answer.text.split()) if answer.output_tokens is None else answer.output_tokens
    return UsageMetadata(
        input_tokens=read,
        output_tokens=wrote,
        total_tokens=read + wrote,
        input_token_details={"cache_read": answer.cache_read_tokens},
    )


def _json(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments)
