"""What becomes of each node: noted while it runs, written with what it wrote."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, TASKS
from langgraph.errors import GraphBubbleUp

from lockstep.core import context
from lockstep.core.testruns import under_test_runner
from lockstep.workflows import links
from lockstep.workflows.codec import Codec
from lockstep.workflows.exceptions import TopologyMismatch
from lockstep.workflows.questions import asked
from lockstep.workflows.telling import kind_of

if TYPE_CHECKING:
    from lockstep.workflows.saver import Fence

__all__ = [
    "Attempt",
    "Node",
    "Traced",
    "Tracer",
    "attempt",
    "close_left",
    "current",
    "traced",
]

MOST_PER_TASK = 50
"""Attempts of one task that are remembered: the last ones."""


class Log(Protocol):
    """What tools came to when the run worked."""

    def tool(self, call: Any, replayed: int) -> Any:
        """What the ledger is to say of a call."""


_current: ContextVar[Tracer | None] = ContextVar("lockstep_tracer", default=None)
_attempt: ContextVar[Attempt | None] = ContextVar("lockstep_attempt", default=None)


def current() -> Tracer | None:
    """The tracer of the run that this thread or task works at."""
    return _current.get()


def attempt() -> Attempt | None:
    """The attempt at a node that this thread or task is; None between nodes."""
    return _attempt.get()


@contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    """Nodes that run in this block are traced."""
    token = _current.set(tracer)
    try:
        yield
    finally:
        _current.reset(token)


@dataclass(slots=True)
class Attempt:
    """One go at a node."""

    node: str
    step: int | None
    number: int
    began: float
    task: str = ""
    ns: str = ""
    ended: float | None = None
    error: str = ""
    stopped: bool = False
    calls: dict[str, int] = field(default_factory=dict)
    """How often each thing was called so far."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ordinal(self, what: str) -> int:
        """0 for the first call of it, 1 for the next: the same whenever the node runs again."""
        with self.lock:
            self.calls[what] = self.calls.get(what, -1) + 1
            return self.calls[what]


@dataclass(slots=True)
class Traced:
    """Rows about one task that has come to an end."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)


class Tracer:
    """Of one run and one owner.

    Args:
        fence: by what right the run is written.
        effects: whether tools may do what they do; False where a run is only replayed.
        missing: which nodes the graph of a namespace has not, of those that channels lead to.
    """

    log: Log | None = None
    """What calls are answered from, where a run is replayed."""

    def __init__(
        self,
        worker: str,
        codec: Codec,
        *,
        fence: Fence | None = None,
        effects: bool = True,
        missing: Callable[[Mapping[str, Any], str], Sequence[str]] | None = None,
    ) -> None:
        self.worker = worker
        self.missing = missing
        self.codec = codec
        self.fence = fence
        self.effects = effects
        self.failed = ""
        """The node that failed last."""
        self.asked = False
        """Whether a node has stopped for an answer."""
        self.opened: list[tuple[threading.Thread, BaseDatabaseWrapper]] = []
        """Connections of Django's that threads of the run have opened."""
        self._attempts: dict[str, list[Attempt]] = {}
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        return self.fence.epoch if self.fence else 0

    def _moved(self) -> None:
        if self.fence is not None:
            self.fence.moved_at = time.monotonic()

    def begun(self, task: str, node: str, step: int | None, number: int, ns: str = "") -> Attempt:
        self._moved()
        attempt = Attempt(node, step, number, time.monotonic(), task, ns)
        with self._lock:
            known = self._attempts.setdefault(task, [])
            known.append(attempt)
            del known[:-MOST_PER_TASK]
        return attempt

    def ended(self, attempt: Attempt, error: BaseException | None) -> None:
        self._moved()
        attempt.ended = time.monotonic()
        if isinstance(error, GraphBubbleUp):
            attempt.stopped = self.asked = True
        elif error is not None:
            attempt.error = kind_of(error)
            self.failed = attempt.node

    def finished(
        self, task: str, ns: str, checkpoint: str, writes: Sequence[tuple[str, Any]], digest: str
    ) -> Traced:
        """What a task that wrote leaves behind: a row an attempt, and a question where it stopped for one.

        Raises:
            TopologyMismatch: it goes on at a node that the graph has not.
        """
        self._look_ahead(ns, writes)
        with self._lock:
            attempts = self._attempts.pop(task, [])
        now = time.monotonic()
        names = {name for name, _ in writes}
        found = Traced()
        for attempt in attempts:
            last = attempt is attempts[-1]
            stopped = attempt.stopped or (last and INTERRUPT in names)
            failed = bool(attempt.error) or (last and ERROR in names)
            ended = now if attempt.ended is None else attempt.ended
            found.nodes.append(
                {
                    "ns": ns, "step": attempt.step, "node": attempt.node, "task": task, "attempt": attempt.number,
                    "status": "waiting" if stopped else "error" if failed else "ok",
                    "error": "" if stopped else attempt.error, "digest": digest if last and not failed else "",
                    "checkpoint": checkpoint, "ago": now - attempt.began,
                    "ms": round((ended - attempt.began) * 1000, 3), "worker": self.worker,
                }
            )  # fmt: skip
        for name, value in writes:
            if name == INTERRUPT:
                self.asked = True
                node = attempts[-1].node if attempts else ""
                found.stops += [self._stop(one, task, ns, node) for one in value]
        return found

    def _look_ahead(self, ns: str, writes: Sequence[tuple[str, Any]]) -> None:
        """LangGraph takes a step that leads nowhere for the end."""
        sends = [value for name, value in writes if name == TASKS]
        gone = self.missing({**dict(writes), TASKS: sends}, ns) if self.missing else ()
        if gone:
            raise TopologyMismatch(
                f"A node goes on at {', '.join(map(repr, gone))}, and the graph has no such node: mend the name in"
                " Command(goto=…) or Send(…), and try the run again.",
                node=gone[0],
            )

    def _stop(self, interrupt: Any, task: str, ns: str, node: str) -> dict[str, Any]:
        question = asked(interrupt.value, self.codec)
        return {
            "interrupt": interrupt.id, "task": task, "ns": ns, "node": node, "kind": question.kind,
            "name": question.name, "key": question.key, "digest": question.digest, "assignee": question.assignee,
            "payload": question.payload, "schema": question.schema, "due": question.due,
            "link": links.queue(),
        }  # fmt: skip


class Node(Runnable[Any, Any]):
    """A node's own runnable, with its context set, its time taken and its database connections given back."""

    def __init__(self, bound: Runnable[Any, Any], name: str) -> None:
        self.bound = bound
        self.node = name

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        with self._watched(config):
            try:
                return self.bound.invoke(input, config, **kwargs)
            finally:
                _give_back()

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        with self._watched(config):
            return await self.bound.ainvoke(input, config, **kwargs)

    @contextmanager
    def _watched(self, config: RunnableConfig | None) -> Iterator[None]:
        tracer = _current.get()
        if tracer is None or config is None:
            yield
            return
        info = config["configurable"]["__pregel_runtime"].execution_info
        step = config.get("metadata", {}).get("langgraph_step")
        attempt = tracer.begun(info.task_id, self.node, step, info.node_attempt, info.checkpoint_ns)
        error: BaseException | None = None
        token = _attempt.set(attempt)
        try:
            with context.use(node=self.node, node_attempt=f"{tracer.epoch}.{info.node_attempt}"):
                yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            _attempt.reset(token)
            tracer.ended(attempt, error)


def close_left(tracer: Tracer) -> None:
    """Close what threads that have ended left open; it would stay so until garbage is collected."""
    for thread, connection in tracer.opened:
        if not thread.is_alive():
            connection.inc_thread_sharing()
            connection.close()
    tracer.opened.clear()


def _opened(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    tracer, thread = _current.get(), threading.current_thread()
    if tracer is not None and thread is not threading.main_thread():
        tracer.opened.append((thread, connection))


connection_created.connect(_opened, dispatch_uid="lockstep_workflows.tracing")


def _give_back() -> None:
    """A thread of LangGraph's pool keeps no connection of Django's: nobody would ever close it."""
    if threading.current_thread() is threading.main_thread() or under_test_runner():
        return
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
