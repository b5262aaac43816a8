"""How a feature's call is put together: release and reservation first, then the words, then the request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import convert_to_messages

from lockstep.core import context, ports
from lockstep.core.features import FeatureSpec
from lockstep.llm.door import Attempts
from lockstep.llm.exceptions import ProviderBadAnswer
from lockstep.llm.hooks import PromptError, Rendered, prompting
from lockstep.llm.metering import Metered, apart, opened
from lockstep.llm.providers import chat_model, get_provider, route
from lockstep.llm.refusals import Route
from lockstep.llm.reply import Reply
from lockstep.llm.usage import bound_of, most_output, tools_done

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

__all__ = ["Calling", "working"]

ABOUT = ("user", "cohort", "tenant", "known")


@contextmanager
def working(
    feature: FeatureSpec, how: dict[str, Any]
) -> Iterator[tuple[Callable[..., Calling], dict[str, Any]]]:
    """The feature's context for a block, and what begins a call in it with the parameters that are the model's."""
    about = {name: how[name] for name in ABOUT if how.get(name) is not None}
    parameters = {name: value for name, value in how.items() if name not in ABOUT}
    with context.use(feature=feature.name, **about):
        yield lambda asked, model, given: begin(feature, asked, model, given), parameters


def begin(feature: FeatureSpec, asked: Any, model: str | None, parameters: Mapping[str, Any]) -> Calling:
    """Reserve the call and learn the live version; then fill in its words."""
    there = route(model or feature.model, feature)
    if not isinstance(asked, Mapping):
        messages = _messages(asked)
        attempts = Attempts(
            there,
            bound_input=bound_of(messages, parameters),
            bound_output=_most(there, parameters),
            tools_done=tools_done(messages),
        )
        attempts.open()
        with _given_back(attempts):
            return Calling(attempts, chat_model(attempts.route), messages, dict(parameters))
    if not feature.prompt:
        raise PromptError(
            f"The feature {feature.name!r} names no prompt for these variables: feature({feature.name!r}, prompt=…),"
            " or give a text or messages."
        )
    return _prompted(feature, feature.prompt, asked, there, dict(parameters))


def _prompted(
    feature: FeatureSpec, prompt: str, variables: Mapping[str, Any], there: Route, parameters: dict[str, Any]
) -> Calling:
    played = ports.replay.get().call()
    pin = played.pinned(prompt) if played else None
    if pin:  # a run that is replayed keeps to what it used
        there = route(pin.model, feature)
        facts = {"prompt": prompt, "prompt_version": pin.version, "pinned": True}
    else:
        facts = {"prompt": prompt, "fallback_version": prompting.get().fallback(prompt)}
    attempts = Attempts(
        there,
        bound_input=64
        + sum(len(_text(value).encode("utf-8", "surrogatepass")) for value in variables.values()),
        bound_output=_most(there, parameters),
        prompt=facts,
    )
    trip = attempts.open()
    with _given_back(attempts):
        version = pin.version if pin else trip.begun.prompt_version if trip else ""
        rendered = prompting.get().rendered(prompt, version, variables)
        if trip and trip.begun.model != f"{attempts.route.provider}:{attempts.route.model}":
            attempts.reroute(route(trip.begun.model, feature))
        messages, given = _rendered(rendered), _parameters(rendered, parameters)
        return Calling(attempts, chat_model(attempts.route), messages, given, rendered)


@contextmanager
def _given_back(attempts: Attempts) -> Iterator[None]:
    """What is reserved before an error in this block is not spent."""
    try:
        yield
    except BaseException as error:
        attempts.abandon(error)
        raise


@dataclass(frozen=True, slots=True)
class Calling:
    """One call that has been begun and is ready to leave."""

    attempts: Attempts
    model: Metered
    messages: list[BaseMessage]
    parameters: dict[str, Any]
    rendered: Rendered | None = None

    def run(self, schema: Any) -> Any:
        try:
            with self._errors(), opened(self.attempts):
                return self._runnable(schema).invoke(self.messages, **self._arguments())
        finally:
            self.attempts.abandon()

    async def arun(self, schema: Any) -> Any:
        try:
            with self._errors(), opened(self.attempts):
                return await self._runnable(schema).ainvoke(self.messages, **self._arguments())
        finally:
            await self._aabandon()

    def pieces(self, now: context.Context) -> Iterator[AIMessageChunk]:
        """The stream; each step runs in the context in which it was asked for.

        It stands at its beginning already: a generator that never ran does not learn that it is closed or dropped,
        and what was reserved would be charged when it lapses.
        """
        pieces = self._pieces(now)
        next(pieces)
        return pieces

    async def apieces(self, now: context.Context) -> AsyncIterator[AIMessageChunk]:
        """``pieces`` for ``async for``."""
        pieces = self._apieces(now)
        await anext(pieces)
        return pieces

    def _pieces(self, now: context.Context) -> Iterator[Any]:
        facts = _facts(now)
        try:
            yield
            with self._errors():
                with opened(self.attempts):
                    stream = self.model.stream(self.messages, **self._arguments())
                    first = next(stream, None)
                while first is not None:
                    yield first
                    with context.use(**facts):
                        first = next(stream, None)
        finally:
            self.attempts.abandon()

    async def _apieces(self, now: context.Context) -> AsyncIterator[Any]:
        facts = _facts(now)
        try:
            yield
            with self._errors():
                with opened(self.attempts):
                    stream = aiter(self.model.astream(self.messages, **self._arguments()))
                    first: Any = await anext(stream, None)
                while first is not None:
                    yield first
                    with context.use(**facts):
                        first = await anext(stream, None)
        finally:
            await self._aabandon()

    async def _aabandon(self) -> None:
        if self.attempts.waiting:
            await apart(self.attempts.abandon)

    def reply(self, answer: Any, schema: Any) -> Reply:
        attempts = self.attempts
        if not self._schema(schema):
            return Reply(answer, attempts.id, attempts.cost_micros)
        if answer["parsing_error"] is not None or answer["parsed"] is None:
            raise ProviderBadAnswer(
                "The answer does not have the schema that was asked for.", call=attempts.id
            )
        message: AIMessage = answer["raw"]
        return Reply(message, attempts.id, attempts.cost_micros, answer["parsed"])

    def _runnable(self, schema: Any) -> Any:
        tools = self.parameters.get("tools") or (self.rendered.tools if self.rendered else None)
        asked_for = self._schema(schema)
        if asked_for:
            return self.model.with_structured_output(asked_for, include_raw=True)
        return self.model.bind_tools(tools) if tools else self.model

    def _schema(self, schema: Any) -> Any:
        return schema or (self.rendered.output_schema if self.rendered else None)

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in self.parameters.items() if name != "tools"}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What LangChain raises around a request may quote the answer: callers get ours, without it as its cause."""
        try:
            yield
        except Exception as error:
            raise self.attempts.ours(error) from None


def _messages(asked: Any) -> list[BaseMessage]:
    found = convert_to_messages([asked] if isinstance(asked, str | BaseMessage) else list(asked))
    if not found:
        raise ValueError("There is nothing to ask: give a text, messages, or the prompt's variables.")
    return found


def _rendered(rendered: Rendered) -> list[BaseMessage]:
    return convert_to_messages(list(rendered.messages))


def _parameters(rendered: Rendered, given: Mapping[str, Any]) -> dict[str, Any]:
    return {**rendered.parameters, **given}


def _most(there: Route, parameters: Mapping[str, Any]) -> int:
    return most_output(parameters, getattr(get_provider(there.provider), "parameters", {}))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _facts(now: context.Context) -> dict[str, Any]:
    return {name: getattr(now, name) for name in ("feature", *ABOUT, "run", "node", "node_attempt")}
