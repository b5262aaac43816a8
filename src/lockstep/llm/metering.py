"""Chat models of LangChain that cannot be used without the ledger.

``metered(ChatOpenAI)`` is a subclass, so the meter stays whatever LangChain makes of the model: ``bind_tools``,
structured output, agents, event streams. A request inside a request, as when a model streams to answer at once, is
one request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from lockstep.core.testruns import under_test_runner
from lockstep.llm.content import fingerprint
from lockstep.llm.door import Attempts, Trip
from lockstep.llm.exceptions import ProviderMisconfigured
from lockstep.llm.playing import added, answers, streamed_again, told_again
from lockstep.llm.refusals import Route
from lockstep.llm.usage import MARK, bound_of, most_output, tools_done

__all__ = ["Metered", "apart", "metered", "opened"]

_inside: ContextVar[Any] = ContextVar("lockstep_llm_inside", default=None)
"""LangChain's run whose request is under way; None outside of one."""
_opened: ContextVar[Attempts | None] = ContextVar("lockstep_llm_opened", default=None)


@contextmanager
def opened(attempts: Attempts) -> Iterator[None]:
    """The next request in this block belongs to a call that was begun already."""
    token = _opened.set(attempts)
    try:
        yield
    finally:
        _opened.reset(token)


@contextmanager
def _within(run_manager: Any) -> Iterator[None]:
    token = _inside.set(getattr(run_manager, "run_id", True))
    try:
        yield
    finally:
        _inside.reset(token)


def _nested(run_manager: Any) -> bool:
    """Whether a provider's class calls itself for the request under way. A callback that asks a model meanwhile, or a
    task begun there, comes with a run of its own."""
    inside = _inside.get()
    return inside is not None and (run_manager is None or run_manager.run_id == inside)


stand_ins: list[Callable[[Metered], Metered]] = []
"""The last says which model answers in another's place, also of those made before: ``lockstep.testing`` fills it."""


def _instead(model: Metered) -> Metered:
    return stand_ins[-1](model) if stand_ins else model


class Metered(BaseChatModel):
    """Mixin over a chat model: every request is a row."""

    _route: Route = PrivateAttr()
    _made_for: Callable[[Route], Metered] = PrivateAttr()
    """Makes the same for another route."""
    _siblings: WeakKeyDictionary[Any, Any] = PrivateAttr(default_factory=WeakKeyDictionary)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        if _nested(run_manager):
            return super()._generate(messages, stop, run_manager, **kwargs)  # type: ignore[safe-super]
        if (other := _instead(self)) is not self:
            return other._generate(messages, stop, run_manager, **kwargs)
        attempts = self._attempts(messages, kwargs, stop)
        if (said := attempts.noted()) is not None:
            return told_again(said)
        while True:
            trip = attempts.begin()
            try:
                with _within(run_manager):
                    result: ChatResult = self._asked(attempts)._generate(
                        messages, stop, run_manager, **kwargs
                    )
            except BaseException as error:
                pause = attempts.failed(trip, error)
                if pause is None:
                    raise attempts.ours(error) from None
                time.sleep(pause)
            else:
                attempts.answered(_marked(attempts, trip, result, run_manager))
                return result

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        if _nested(run_manager):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        if (other := _instead(self)) is not self:
            return await other._agenerate(messages, stop, run_manager, **kwargs)
        attempts = self._attempts(messages, kwargs, stop)
        if (said := await apart(attempts.noted)) is not None:
            return told_again(said)
        while True:
            trip = await apart(attempts.begin, undo=attempts.unsent)
            try:
                model = await self._asked(attempts)._here()
                with _within(run_manager):
                    result: ChatResult = await model._agenerate(messages, stop, run_manager, **kwargs)
            except BaseException as error:
                pause = await apart(attempts.failed, trip, error)
                if pause is None:
                    raise attempts.ours(error) from None
                await asyncio.sleep(pause)
            else:
                await apart(attempts.answered, _marked(attempts, trip, result, run_manager))
                return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if _nested(run_manager):
            yield from super()._stream(messages, stop, run_manager, **kwargs)
            return
        if (other := _instead(self)) is not self:
            yield from other._stream(messages, stop, run_manager, **kwargs)
            return
        attempts = self._attempts(messages, kwargs, stop)
        if (said := attempts.noted()) is not None:
            yield streamed_again(said)
            return
        while True:
            trip = attempts.begin()
            pieces = self._asked(attempts)._pieces(messages, stop, run_manager, **kwargs)
            try:
                while True:
                    with _within(run_manager):
                        piece = next(pieces, None)
                    if piece is None:
                        break
                    yield _noted(attempts, trip, piece, run_manager)
            except GeneratorExit:
                attempts.cancelled(trip)
                raise
            except BaseException as error:
                pause = attempts.failed(trip, error)
                if pause is None:
                    raise attempts.ours(error) from None
                time.sleep(pause)
            else:
                return _ended(attempts, trip)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if _nested(run_manager):
            async for piece in super()._astream(messages, stop, run_manager, **kwargs):
                yield piece
            return
        if (other := _instead(self)) is not self:
            async for piece in other._astream(messages, stop, run_manager, **kwargs):
                yield piece
            return
        attempts = self._attempts(messages, kwargs, stop)
        if (said := await apart(attempts.noted)) is not None:
            yield streamed_again(said)
            return
        while True:
            trip = await apart(attempts.begin, undo=attempts.unsent)
            try:
                model = await self._asked(attempts)._here()
                with _within(run_manager):
                    pieces = aiter(model._astream(messages, stop, run_manager, **kwargs))
                while True:
                    with _within(run_manager):
                        piece = await anext(pieces)
                    yield _noted(attempts, trip, piece, run_manager)
            except StopAsyncIteration:
                await apart(_ended, attempts, trip)
                return
            except GeneratorExit:
                await apart(attempts.cancelled, trip)
                raise
            except BaseException as error:
                pause = await apart(attempts.failed, trip, error)
                if pause is None:
                    raise attempts.ours(error) from None
                await asyncio.sleep(pause)

    def _asked(self, attempts: Attempts) -> Any:
        """This model, or the one that stands in for it while a budget is spent."""
        if attempts.route == self._route:
            return self
        return self._made_for(attempts.route)

    def _pieces(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        return super()._stream(*args, **kwargs)

    def _attempts(
        self, messages: list[BaseMessage], request: Mapping[str, Any], stop: list[str] | None
    ) -> Attempts:
        other = request.get("model") or request.get("model_name") or self._route.model
        if other != self._route.model:
            raise ProviderMisconfigured(
                f"This model is {self._route.provider}:{self._route.model}, and is confined and priced as such:"
                f" make another for {other!r}, feature.chat_model('{self._route.provider}:{other}')."
            )
        bound_input, bound_output = bound_of(messages, request), most_output(request, vars(self))
        ready = _opened.get()
        if ready is not None and ready.route == self._route:  # and not one that a callback asks meanwhile
            _opened.set(None)
            ready.widen(bound_input, bound_output)
            attempts = ready
        else:
            attempts = Attempts(
                self._route,
                bound_input=bound_input,
                bound_output=bound_output,
                tools_done=tools_done(messages),
            )
        attempts.messages = tuple(messages)
        if attempts.played is not None:
            there = f"{self._route.provider}:{self._route.model}"
            attempts.request = fingerprint(
                messages, there, {"stop": stop, **self._identifying_params, **request}
            )
        return attempts

    async def _here(self) -> Any:
        """This model with clients of its own for the running event loop: a client of another loop fails after the
        request was sent."""
        loop = asyncio.get_running_loop()
        if loop not in self._siblings:
            for ended in [other for other in self._siblings if other.is_closed()]:
                del self._siblings[ended]  # what it keeps holds it, so it does not go by itself
            fresh = getattr(super(), "_for_loop", None)  # a provider's class says how to make clients anew
            sibling = fresh() if fresh else self
            keeper = _kept_open(getattr(sibling, "_close_loop", None))
            self._siblings[loop] = sibling, keeper
            await anext(keeper)
        return self._siblings[loop][0]


async def _kept_open(close: Any) -> AsyncIterator[None]:
    """A loop that ends closes its generators, and this one the clients: no socket is left behind."""
    try:
        yield
    finally:
        if close:
            await close()


@cache
def metered(model: type[BaseChatModel]) -> type[Metered]:
    """The metered subclass of a chat model's class."""
    return type(f"Metered{model.__name__}", (Metered, model), {"__module__": __name__})


def _marked(attempts: Attempts, trip: Trip, result: ChatResult, run_manager: Any) -> Trip:
    """Take note of an answer, and leave the id of its row in it."""
    first = result.generations[0]  # of several each repeats the usage of all
    trip.add(first.message, {**(result.llm_output or {}), **(first.generation_info or {})})
    for generation in result.generations[1:]:
        trip.heard(generation.message)
    for generation in result.generations:
        if isinstance(generation.message, AIMessage):
            generation.message.response_metadata[MARK] = trip.asked.id
    if attempts.played is not None:
        trip.whole = [*answers(result, run_manager)]
    return trip


def _noted(
    attempts: Attempts, trip: Trip, piece: ChatGenerationChunk, run_manager: Any
) -> ChatGenerationChunk:
    if not trip.seen.pieces:
        piece.message.response_metadata[MARK] = trip.asked.id
    trip.add(piece.message, piece.generation_info or {})
    if attempts.played is not None:
        trip.whole = [added(trip.whole, piece, run_manager)]
    return piece


def _ended(attempts: Attempts, trip: Trip) -> None:
    if not trip.seen.finish_reason and trip.seen.usage is None:
        raise attempts.cut(trip)
    attempts.answered(trip)


async def apart(call: Any, *args: Any, undo: Any = None) -> Any:
    """The ledger's statements block: beside the event loop they hold nobody up.

    Args:
        undo: takes back the result of ``call`` where the task is cancelled meanwhile: nobody else has it.
    """
    work = sync_to_async(call, thread_sensitive=under_test_runner())(*args)
    if undo is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await apart(undo, task.result())
        raise
