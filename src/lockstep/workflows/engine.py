"""Takes a run as far as it goes: from the transition where its last owner stopped, to the next stop or the end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import DatabaseError, close_old_connections
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from lockstep.core import context, jsonb
from lockstep.core.testruns import under_test_runner
from lockstep.workflows import registry, tracing, versions
from lockstep.workflows.conf import settings
from lockstep.workflows.connection import apart
from lockstep.workflows.exceptions import EngineError, Fenced, HistoryLost, TopologyMismatch, UnknownWorkflow
from lockstep.workflows.graphs import Graph, levels
from lockstep.workflows.ownership import Held, here
from lockstep.workflows.saver import DjangoSaver
from lockstep.workflows.telling import told_safely
from lockstep.workflows.tracing import close_left, traced

__all__ = ["advance"]

logger = logging.getLogger("lockstep.workflows")

RELEASE = "SELECT lockstep_workflows_release_v1(%s, %s, %s::jsonb)::text"


@dataclass(slots=True)
class End:
    """How this owner leaves the run."""

    status: str
    reason: str = ""
    node: str = ""
    result: str | None = None
    """JSON."""
    error: Mapping[str, Any] | None = None
    taken: list[str] = field(default_factory=list)
    """Interrupts whose answers the run has gone on with."""


def advance(run: str, *, ring: Callable[[str], object] | None = None) -> str | None:
    """Own the run and take it as far as it goes; the status that it has then, or None: somebody else has it, or there
    is nothing to do.

    Args:
        ring: told of the run that wants a worker next: this one again, or the next of its thread. Sweepers see it too,
            a little later.

    Raises:
        EngineError: the database cannot be reached; the run is taken up by whoever sweeps.
    """
    owner = here()
    if not under_test_runner():
        close_old_connections()  # one that broke since would break this run too
    held = owner.acquire(run)
    if held is None:
        return None
    with owner.holding(held):
        try:
            end = _Advance(held).end()
            left = _release(held, end)
        except Fenced:
            logger.info("Run %s has another owner now.", run)
            return None
    if ring is not None and left.get("ring"):
        ring(left["ring"])
    return str(left["status"])


def _release(held: Held, end: End) -> dict[str, Any]:
    parts = {
        "status": end.status, "reason": end.reason, "node": end.node, "error": end.error, "taken": end.taken or None,
    }  # fmt: skip
    told = jsonb.dumps({name: part for name, part in parts.items() if part is not None})
    if end.result is not None:
        told = f'{told[:-1]},"result":{end.result}}}'
    (reply,) = apart.query(RELEASE, (held.id, held.fence.epoch, told))
    answer: dict[str, Any] = json.loads(reply)
    if answer.get("fenced"):
        raise Fenced
    return answer


class _Advance:
    def __init__(self, held: Held) -> None:
        self.held = held
        self.row = held.row
        self.control = RunControl()
        held.fence.stop = self.control.request_drain
        self.taken: list[str] = []

    def end(self) -> End:
        """Work until the run stops, whatever stops it; only what says that it is not ours any more gets out."""
        try:
            workflow = registry.find(self.row["workflow"], self.row["version"])
            found = workflow.graph()
            versions.seen(workflow)
        except EngineError:
            raise
        except UnknownWorkflow as error:
            return End("blocked", "version_missing", error=_told(error))
        except Exception as error:  # a module that cannot be imported, a graph that does not compile
            logger.error("The graph of run %s cannot be built: %s", self.held.id, told_safely(error))
            return End("blocked", "graph_broken", error=_told(error))
        self.held.fence.node_timeout_s = workflow.node_timeout_s or settings().node_timeout_s
        self.tracer = tracing.Tracer(here().name, found.codec, fence=self.held.fence, missing=found.missing)
        self.saver = DjangoSaver(fence=self.held.fence, codec=found.codec, tracer=self.tracer)
        self.saver.empty = not self.row["transitions"] and self.row["alone"]
        self.graph = found.with_saver(self.saver)
        self.config: Any = {
            "configurable": {"thread_id": self.row["thread"]},
            "recursion_limit": workflow.recursion_limit,
            "metadata": {"lockstep_run": self.held.id},
        }
        try:
            return self._worked(found)
        except (Fenced, EngineError):
            raise
        except GraphDrained:
            return self._drained()
        except GraphRecursionError as error:
            return self._failed(error, "recursion_limit")
        except (HistoryLost, TopologyMismatch) as error:
            return End("blocked", _name(error), node=getattr(error, "node", ""), error=_told(error))
        except Exception as error:
            if self.held.fence.lost:
                raise Fenced from error
            logger.error("Run %s failed at %s: %s", self.held.id, self.tracer.failed, told_safely(error))
            return self._failed(error, _name(error))

    def _worked(self, found: Graph) -> End:
        with context.use(
            user=self._user(), run=self.held.id, cohort=self.row["cohort"] or None,
            tenant=self.row["tenant"] or None, feature=self.row["feature"] or None,
        ):  # fmt: skip
            given = self._given(found)
            if isinstance(given, End):
                return given
            try:
                with traced(self.tracer):
                    output = self._run(found, given)
            finally:
                close_left(self.tracer)
            self.saver.flush()
            if self.held.fence.cancelled:
                return End("cancelled", "cancelled", taken=self.taken)
            if self.tracer.asked or found.pauses:  # else nothing has stopped it
                state = self.graph.get_state(self.config)
                if state.next:
                    return End("waiting", taken=self.taken, node=", ".join(state.next))
        return End("succeeded", taken=self.taken, result=self.saver.codec.dumps(output, name="result"))

    def _run(self, found: Graph, given: Any) -> Any:
        if found.is_async:
            with asyncio.Runner() as loop:
                return loop.run(self._arun(given))
        return self.graph.invoke(given, self.config, durability="sync", control=self.control)

    async def _arun(self, given: Any) -> Any:
        if not under_test_runner():
            await sync_to_async(close_old_connections)()
        return await self.graph.ainvoke(given, self.config, durability="sync", control=self.control)

    def _given(self, found: Graph) -> Any:
        """What LangGraph is called with: the input, the answers that came in, or nothing but to go on."""
        if not self.row["transitions"]:
            if self.row["input"] is None:
                raise HistoryLost("The input of the run has expired or was erased.")
            return self.saver.codec.decode(self.row["input"])
        head = self.saver.get_tuple(self.config)
        if head is None or head.checkpoint["id"] != self.row["head"]:
            raise HistoryLost
        missing = found.missing(head.checkpoint["channel_values"])
        state = self.graph.get_state(self.config, subgraphs=True)
        missing += [name for level in levels(state) for name in found.gone(self.saver, level)]
        if missing:
            raise TopologyMismatch(
                f"The run goes on at {', '.join(map(repr, missing))}, and version {self.row['version']!r} of"
                f" {self.row['workflow']!r} has no such node here. Give the changed graph a new version and keep the"
                " old one declared until its last run has ended.",
                node=missing[0],
            )
        self._demand_history()
        if self.row["died"]:
            self._note_deaths()
            if self.row["crash_count"] > settings().most_crashes:
                return End("dead", "crashed", node=", ".join(state.next))
        pending = {interrupt.id for level in (state, *levels(state)) for interrupt in level.interrupts}
        answers: dict[str, Any] = {}
        for answer in self.row["answers"]:
            self.taken.append(answer["interrupt"])
            if answer["interrupt"] in pending:  # else it was gone on with before a worker died
                answers[answer["interrupt"]] = _answer(answer)
        return Command(resume=answers) if answers else None

    def _demand_history(self) -> None:
        """A graph within the graph that asked goes on from its own state; without it, it would begin anew."""
        for ns in {answer["ns"] for answer in self.row["answers"]} - {""}:
            place = {"thread_id": self.row["thread"], "checkpoint_ns": ns}
            if self.saver.get_tuple({"configurable": place}) is None:
                raise HistoryLost

    def _note_deaths(self) -> None:
        """Those that were to run when the last owner died: which of them had begun, nobody knows."""
        state = self.graph.get_state(self.config, subgraphs=True)
        self.saver.note(self.row["thread"], [self._death(*found) for found in _unfinished(state, "")])

    def _death(self, task: Any, step: int | None, ns: str) -> dict[str, Any]:
        return {
            "ns": ns, "step": step, "node": task.name, "task": task.id, "attempt": 1, "status": "died", "error": "",
            "digest": "", "ms": None, "ago": None, "worker": self.row["previous"], "checkpoint": self.row["head"],
        }  # fmt: skip

    def _drained(self) -> End:
        if self.held.fence.lost:
            raise Fenced
        if self.held.fence.cancelled:
            return End("cancelled", "cancelled", taken=self.taken)
        return End("queued", "drained", taken=self.taken)

    def _failed(self, error: BaseException, reason: str) -> End:
        self.saver.flush()
        return End(
            "failed",
            reason,
            node=self.tracer.failed or "",
            error=_told(error, self.tracer.failed),
            taken=self.taken,
        )

    def _user(self) -> Any:
        key = self.row["user_id"]
        try:
            return get_user_model()._default_manager.filter(pk=key).first() if key else None
        except DatabaseError as error:
            raise EngineError(f"The user of the run cannot be looked up ({type(error).__name__}).") from None


def _unfinished(state: Any, ns: str) -> Iterator[tuple[Any, int | None, str]]:
    """Tasks that have not come to an end; of a subgraph that was begun, those within."""
    for task in state.tasks:
        if task.result is not None or task.interrupts:
            continue
        if isinstance(task.state, StateSnapshot) and task.state.tasks:
            yield from _unfinished(task.state, task.state.config["configurable"]["checkpoint_ns"])
        else:
            yield task, (state.metadata or {}).get("step"), ns


def _answer(answer: Mapping[str, Any]) -> Any:
    """What the interrupt gives back to its node."""
    if answer["kind"] == "review":
        return answer["answer"] if answer["status"] == "answered" else {"decision": "expired", "args": {}}
    return answer["answer"] if answer["status"] == "answered" else None


def _name(error: BaseException) -> str:
    return type(error).__qualname__


def _told(error: BaseException, node: str | None = None) -> dict[str, Any]:
    return {"kind": _name(error), "text": str(error)[:10_000].replace("\0", ""), "node": node or ""}
