"""Where a call stands: in which run, task and turn. A node that runs again stands at the same places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langgraph.config import get_config

from lockstep.workflows import tracing
from lockstep.workflows.exceptions import EffectsForbidden, ToolMisused
from lockstep.workflows.saver import Fence
from lockstep.workflows.state import digest
from lockstep.workflows.tracing import Attempt, Tracer

__all__ = ["Place", "current", "inside", "within"]

_within: ContextVar[str] = ContextVar("lockstep_within", default="")


@contextmanager
def within(what: str) -> Iterator[None]:
    """Calls of the block belong to a model's call of a tool, or to another tool's call."""
    token = _within.set(what)
    try:
        yield
    finally:
        _within.reset(token)


def inside() -> str:
    """What ``within`` said."""
    return _within.get()


@dataclass(frozen=True, slots=True)
class Place:
    tracer: Tracer
    fence: Fence
    attempt: Attempt
    runtime: Any
    """LangGraph's."""
    thread: str
    ns: str
    task: str
    checkpoint: str

    @property
    def stopping(self) -> bool:
        """Whether the run is to stop at its next transition, or is not ours any more."""
        return self.fence.lost or self.fence.cancelled or bool(self.runtime.drain_requested)

    @property
    def namespaces(self) -> list[str]:
        """Those that the checkpoint of the task may stand under: a subgraph that keeps its state has the short one."""
        above = self.ns.split("|")[:-1]
        return ["|".join(above), "|".join(part.split(":", 1)[0] for part in above)]

    def key(self, tool: str, args: str) -> str:
        """The key of the next call of ``tool`` with these arguments, as JSON, here."""
        what = digest(self.task, self.ns, _within.get(), tool, args)
        return digest(self.fence.run, what, str(self.attempt.ordinal(what)))


def current(tool: str, effect: str) -> Place | None:
    """Where we are; None outside a run.

    Raises:
        ToolMisused: in a run, but in no node.
        EffectsForbidden: effects are forbidden, and there is no run whose log could have them.
    """
    tracer = tracing.current()
    if tracer is None:
        return None
    if tracer.fence is None:
        if not tracer.effects and effect != "pure":
            raise EffectsForbidden(f"Tool {tool!r} has effects, and they are forbidden here.", tool=tool)
        return None
    attempt = tracing.attempt()
    if attempt is None:
        raise ToolMisused(f"Tool {tool!r} is called between nodes: call it in a node.", tool=tool)
    given = get_config()["configurable"]
    runtime = given["__pregel_runtime"]
    info = runtime.execution_info
    return Place(
        tracer, tracer.fence, attempt, runtime, str(given["thread_id"]), given.get("checkpoint_ns") or "",
        info.task_id, info.checkpoint_id,
    )  # fmt: skip
