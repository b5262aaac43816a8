"""What a tool is: a function with its time, its attempts and its kind of effect."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

from lockstep.workflows.exceptions import Fenced, ToolMisused
from lockstep.workflows.telling import told_safely
from lockstep.workflows.tools import flow, ledger, places, processes, threads
from lockstep.workflows.tools.failures import Classifier, Failure, Kind, failure_of
from lockstep.workflows.tools.ledger import Call

__all__ = ["Backoff", "Tool", "tool"]

logger = logging.getLogger("lockstep.workflows")

R = TypeVar("R")
Effect = Literal["pure", "keyed", "at_most_once"]
KEY = "idempotency_key"
LOOK_S = 0.05
"""How often a call that waits in place looks whether its run is to stop."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failed attempt: anything from nothing to a limit that grows (full jitter).

    The limit after attempt n is ``base_s * factor ** (n - 1)``, at most ``most_s``. A server's Retry-After is obeyed
    where it is longer.
    """

    base_s: float = 0.5
    factor: float = 2.0
    most_s: float = 300.0

    def __post_init__(self) -> None:
        if not (self.base_s >= 0 and self.factor >= 1 and self.most_s >= 0):
            raise ValueError("A Backoff has base_s >= 0, factor >= 1 and most_s >= 0.")

    def limit_s(self, attempt: int) -> float:
        """Longest delay after this attempt, counted from 1."""
        try:
            return min(self.base_s * self.factor ** (attempt - 1), self.most_s)
        except OverflowError:
            return self.most_s

    def delay_s(self, attempt: int) -> float:
        return random.uniform(0, self.limit_s(attempt))  # noqa: S311 -- so that callers do not come back together


class Tool(Generic[R]):
    """A function whose calls are kept in the ledger of the run that makes them; called like the function itself.

    In a node a call is made once for its place in the node and its arguments: a node that runs again gets the result of
    before. Outside a run nothing is kept; time and attempts hold there too.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        effect: Effect = "at_most_once",
        timeout_s: float | None = 60.0,
        max_attempts: int = 4,
        backoff: Backoff | None = None,
        classify: Classifier | None = None,
        on_failure: Literal["raise", "review"] | Callable[..., Any] = "raise",
        reconcile: Callable[[str, dict[str, Any]], flow.Outcome | None] | None = None,
        assignee: str = "",
        isolation: Literal["thread", "process"] = "thread",
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__ if name is None else name
        self.effect = effect
        self.timeout_s = timeout_s
        self.max_attempts = max_attempts
        self.backoff = backoff or Backoff()
        self.classify = classify
        self.on_failure = on_failure
        self.reconcile = reconcile
        self.assignee = assignee
        self.isolation = isolation
        self.is_async = inspect.iscoroutinefunction(function)
        self._check()
        whole = inspect.signature(function)
        self.takes_key = KEY in whole.parameters
        self.__signature__ = whole.replace(
            parameters=[one for name, one in whole.parameters.items() if name != KEY]
        )

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Call it; for an ``async def`` the awaitable.

        Raises:
            ToolFailed: it failed for good, and the tool names nothing that stands in.
            ToolMisused: the arguments do not fit, or this is no place for a call.
            Unstorable: an argument cannot be kept.
            Fenced: the run has another owner.
        """
        found: Any = self._acalled(args, kwargs) if self.is_async else self._called(args, kwargs)
        return found  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def as_langchain(self, *, name: str | None = None, description: str | None = None) -> Any:
        """The tool as LangChain's agents take it. The id of the model's call is part of its key."""
        from lockstep.workflows.tools.langchain import adapted

        return adapted(self, name or self.name, description)

    def failure_of(self, error: BaseException) -> Failure:
        try:
            return failure_of(error, self.effect, self.classify)
        except Exception as failed:
            logger.error(
                "The classifier of tool %r failed; the error counts as permanent: %s",
                self.name,
                told_safely(failed),
            )
            return Failure(Kind.PERMANENT, type(error).__qualname__)

    def _check(self) -> None:
        if not (isinstance(self.name, str) and 0 < len(self.name) <= 200 and "\0" not in self.name):
            raise ValueError(f"The name of a tool is a text of 1 to 200 characters, not {self.name!r}.")
        if self.effect not in ("pure", "keyed", "at_most_once"):
            raise ValueError(f"effect is 'pure', 'keyed' or 'at_most_once', not {self.effect!r}.")
        if (
            isinstance(self.max_attempts, bool)
            or not isinstance(self.max_attempts, int)
            or not 1 <= self.max_attempts <= 1000
        ):
            raise ValueError("max_attempts is a whole number from 1 to 1000.")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ValueError("timeout_s is a positive number of seconds, or None.")
        if self.on_failure not in ("raise", "review") and not callable(self.on_failure):
            raise ValueError("on_failure is 'raise', 'review' or something to call instead.")
        if self.isolation not in ("thread", "process"):
            raise ValueError("isolation is 'thread' or 'process'.")
        if self.isolation == "process" and (self.is_async or "<locals>" in self.function.__qualname__):
            raise TypeError(
                f"Tool {self.name!r}: isolation='process' is for plain functions at the top of a module: another"
                " process has to import it, and async ones can be cancelled."
            )

    # a call

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound, external = self._bound(args, kwargs)
        place = places.current(self.name, self.effect)
        if place is None:
            return self._outside(bound, external)
        call = self._call(place, bound, external)
        return _driven(flow.flow(self, call, bound.arguments), lambda step: self._do(step, call, bound))

    async def _acalled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound, external = self._bound(args, kwargs)
        place = places.current(self.name, self.effect)
        if place is None:
            return await self._aoutside(bound, external)
        call = self._call(place, bound, external)
        return await _adriven(
            flow.flow(self, call, bound.arguments), lambda step: self._ado(step, call, bound)
        )

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[inspect.BoundArguments, str]:
        kwargs = dict(kwargs)
        external = kwargs.pop(KEY, "") if self.takes_key else ""
        if not isinstance(external, str) or len(external) > 255 or "\0" in external:
            raise ToolMisused(
                f"Tool {self.name!r}: {KEY} is a text of at most 255 characters.", tool=self.name
            )
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise ToolMisused(f"Tool {self.name!r}: {error}.", tool=self.name) from None
        bound.apply_defaults()
        return bound, external

    def _call(self, place: places.Place, bound: inspect.BoundArguments, external: str) -> Call:
        # in jsonb's own order of keys, so that the row shows them as they are
        ordered = sorted(bound.arguments.items(), key=lambda one: (len(one[0].encode()), one[0]))
        text = place.tracer.codec.dumps(dict(ordered), name=self.name)
        key = place.key(self.name, text)
        return Call(place, key, external or key, self.name, self.effect, self.max_attempts, text)

    def _do(self, step: flow.Step, call: Call, bound: inspect.BoundArguments) -> Any:
        if isinstance(step, flow.Write):
            return step.call()
        if isinstance(step, flow.Do):
            with places.within(call.key):
                return self._run(bound, call.external, lambda result: _late(call, step.attempt, result))
        if isinstance(step, flow.Pause):
            return _pause(call.place, step.seconds)
        if isinstance(step, flow.Reconcile):
            return self._reconciled(call, bound)
        assert callable(self.on_failure)
        return self.on_failure(*bound.args, **bound.kwargs)

    async def _ado(self, step: flow.Step, call: Call, bound: inspect.BoundArguments) -> Any:
        if isinstance(step, flow.Write):
            return await asyncio.to_thread(step.call)
        if isinstance(step, flow.Do):
            with places.within(call.key):
                return await self._arun(bound, call.external)
        if isinstance(step, flow.Pause):
            return await _apause(call.place, step.seconds)
        if isinstance(step, flow.Reconcile):
            return await asyncio.to_thread(self._reconciled, call, bound)
        assert callable(self.on_failure)
        found = self.on_failure(*bound.args, **bound.kwargs)
        return await found if inspect.isawaitable(found) else found

    def _run(self, bound: inspect.BoundArguments, external: str, late: Callable[[Any], None]) -> Any:
        kwargs = self._with_key(bound, external)
        if self.isolation == "process":
            return processes.call(self.function, bound.args, kwargs, self.timeout_s)
        if self.timeout_s is None:
            return self.function(*bound.args, **kwargs)
        return threads.call(lambda: self.function(*bound.args, **kwargs), self.timeout_s, late)

    async def _arun(self, bound: inspect.BoundArguments, external: str) -> Any:
        async with asyncio.timeout(self.timeout_s):
            return await self.function(*bound.args, **self._with_key(bound, external))

    def _with_key(self, bound: inspect.BoundArguments, external: str) -> Mapping[str, Any]:
        return {**bound.kwargs, KEY: external} if self.takes_key else bound.kwargs

    def _reconciled(self, call: Call, bound: inspect.BoundArguments) -> flow.Outcome | None:
        """What the hook found out; None where it did not, whatever stopped it."""
        assert self.reconcile is not None
        try:
            found = self.reconcile(call.external, dict(bound.arguments))
        except Exception as failed:
            logger.error(
                "The reconcile hook of tool %r failed; a person is asked: %s", self.name, told_safely(failed)
            )
            return None
        if found is not None and not isinstance(found, flow.Outcome):
            logger.error("The reconcile hook of tool %r gave no Outcome; a person is asked.", self.name)
            return None
        return found

    # outside a run

    def _outside(self, bound: inspect.BoundArguments, external: str) -> Any:
        attempt = 1
        while True:
            try:
                return self._run(bound, external, lambda result: None)
            except Exception as error:
                delay = self._delay_outside(error, attempt)
                if delay is None:
                    raise
            time.sleep(delay)
            attempt += 1

    async def _aoutside(self, bound: inspect.BoundArguments, external: str) -> Any:
        attempt = 1
        while True:
            try:
                return await self._arun(bound, external)
            except Exception as error:
                delay = self._delay_outside(error, attempt)
                if delay is None:
                    raise
            await asyncio.sleep(delay)
            attempt += 1

    def _delay_outside(self, error: Exception, attempt: int) -> float | None:
        failure = self.failure_of(error)
        if failure.kind is not Kind.TRANSIENT or attempt >= self.max_attempts:
            return None
        return max(self.backoff.delay_s(attempt), failure.retry_after_s or 0.0)


@overload
def tool(function: Callable[..., R], /) -> Tool[R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    effect: Effect = "at_most_once",
    timeout_s: float | None = 60.0,
    max_attempts: int = 4,
    backoff: Backoff | None = None,
    classify: Classifier | None = None,
    on_failure: Literal["raise", "review"] | Callable[..., Any] = "raise",
    reconcile: Callable[[str, dict[str, Any]], flow.Outcome | None] | None = None,
    assignee: str = "",
    isolation: Literal["thread", "process"] = "thread",
) -> Callable[[Callable[..., R]], Tool[R]]: ...
def tool(
    function: Callable[..., R] | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "at_most_once",
    timeout_s: float | None = 60.0,
    max_attempts: int = 4,
    backoff: Backoff | None = None,
    classify: Classifier | None = None,
    on_failure: Literal["raise", "review"] | Callable[..., Any] = "raise",
    reconcile: Callable[[str, dict[str, Any]], flow.Outcome | None] | None = None,
    assignee: str = "",
    isolation: Literal["thread", "process"] = "thread",
) -> Tool[R] | Callable[[Callable[..., R]], Tool[R]]:
    """Make a function a tool::

        @tool(timeout_s=10, effect="keyed")
        def refund(order_id: int, amount: int, *, idempotency_key: str = "") -> dict: ...

    Args:
        name: in the ledger and for models; the function's own when left out. Renaming it makes other calls of those
            that are under way.
        effect: ``pure`` may be repeated at will; ``keyed`` with the same idempotency key, which the function gets as
            ``idempotency_key``; ``at_most_once`` never by itself.
        timeout_s: of one attempt. An async tool is cancelled then; a sync one goes on in a thread that is left behind,
            unless it runs in a process; None: it takes as long as it takes.
        max_attempts: over all crashes.
        backoff: between attempts.
        classify: error -> ``transient``, ``permanent``, ``unknown``, or None for our own opinion.
        on_failure: of a failure for good: ``raise`` ToolFailed; ``review``: a person decides; or what is called with
            the same arguments instead, another tool for example.
        reconcile: for ``at_most_once``: (key, arguments) -> ``Outcome``, or None where it cannot say and a person must.
        assignee: group that may say what became of a call; empty: everybody with the permission.
        isolation: ``process``: each call in a process of its own, which is killed when its time is over.

    Raises:
        ValueError, TypeError: an option is none.
    """

    def declare(function: Callable[..., R]) -> Tool[R]:
        return Tool(
            function, name=name, effect=effect, timeout_s=timeout_s, max_attempts=max_attempts, backoff=backoff,
            classify=classify, on_failure=on_failure, reconcile=reconcile, assignee=assignee, isolation=isolation,
        )  # fmt: skip

    return declare if function is None else declare(function)


def _driven(steps: flow.Steps, do: Callable[[flow.Step], Any]) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                value = do(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration as end:
        return end.value


async def _adriven(steps: flow.Steps, do: Callable[[flow.Step], Any]) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                value = await do(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration as end:
        return end.value


def _late(call: Call, attempt: str, result: Any) -> None:
    """A result after the time is a result: it is in the log before anybody repeats or decides."""
    try:
        text = call.place.tracer.codec.dumps(result, name=call.tool)
        ledger.settle(call, "done", attempt=attempt, outcome="done", result=text)
    except Fenced:
        pass
    except Exception as error:
        logger.warning("A late result of tool %r could not be kept (%s).", call.tool, type(error).__name__)


def _pause(place: places.Place, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not place.stopping:
        time.sleep(min(left, LOOK_S))


async def _apause(place: places.Place, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not place.stopping:
        await asyncio.sleep(min(left, LOOK_S))
