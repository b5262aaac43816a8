"""A place where one task of a run, or one of its transitions, happens once more, and leaves no trace.

The graph is taken up at the very checkpoint where the run had it, as after a crash: so the task has the id, the state
and the answers that it had. Whatever else would run there is held back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
)
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.errors import GraphInterrupt

from lockstep.core import context
from lockstep.workflows import reading
from lockstep.workflows.codec import Codec, Serde
from lockstep.workflows.exceptions import HistoryLost
from lockstep.workflows.graphs import Graph
from lockstep.workflows.models import Run
from lockstep.workflows.registry import Workflow
from lockstep.workflows.replays.log import Departed, Log
from lockstep.workflows.replays.record import HANDLED, Point
from lockstep.workflows.saver import Fence, parts, placed
from lockstep.workflows.state import digest
from lockstep.workflows.telling import kind_of, told_safely
from lockstep.workflows.tracing import Attempt, Tracer, traced

__all__ = ["Sandbox", "Seen", "as_json"]

logger = logging.getLogger("lockstep.workflows")
SPECIAL = (RESUME, ERROR, HANDLED)


@dataclass(slots=True)
class Seen:
    """What happened."""

    wrote: dict[str, str] = field(default_factory=dict)
    """Task -> what it wrote, as JSON: place -> [channel, value]."""
    waits: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    """Task -> kind of its error."""
    states: dict[str, Checkpoint] = field(default_factory=dict)
    """Namespace -> the first state that was to be stored there."""
    error: str = ""
    """What ended it, where no node did."""

    def outcome(self, task: str) -> str:
        """As ``Task.then`` has it; empty where the task came to nothing."""
        if task in self.wrote:
            return digest(self.wrote[task])
        return self.errors.get(task) or ("waiting" if task in self.waits else "")


class Sandbox:
    """Of one run.

    Raises:
        HistoryLost: a checkpoint is not there.
    """

    def __init__(self, run: Run, workflow: Workflow, graph: Graph, log: Log, spaces: Collection[str]) -> None:
        self.run = run
        self.workflow = workflow
        self.graph = graph
        self.log = log
        self.spaces = spaces

    def play(
        self, point: Point, run: Collection[str], *, done: Collection[str] = (), free: str | None = None
    ) -> Seen:
        """Let the tasks in ``run`` happen at ``point``.

        Args:
            run: tasks that run, those above them included.
            done: tasks whose output is taken from the record; with ``run`` empty the transition happens.
            free: namespace in which everything may run.
        """
        seen = Seen()
        self.log.begin()
        heads = {
            ns: self._head(ns, at, run, done) for ns, at in {**point.parents, point.ns: point.id}.items()
        }
        saver = _Saver(self.graph.codec, self.run.thread, heads, seen)
        tracer = _Tracer(self.graph.codec, self.log, seen, run, free, self.spaces)
        tracer.fence = Fence(str(self.run.pk), epoch=0, lease_s=0)
        config: Any = {
            "configurable": {"thread_id": (self.run.origin or {}).get("thread", self.run.thread)},
            "recursion_limit": self.workflow.recursion_limit,
            "metadata": {"lockstep_run": str(self.run.pk)},
        }
        with self._context(), traced(tracer):
            try:
                self._invoke(self.graph.compiled.copy({"checkpointer": saver}), config)
            except Departed:
                pass
            except Exception as error:
                if not seen.errors:
                    logger.info(
                        "A transition of run %s fails in its replay: %s", self.run.pk, told_safely(error)
                    )
                    seen.error = kind_of(error)
        return seen

    def _invoke(self, graph: Any, config: Any) -> None:
        if self.graph.is_async:
            with asyncio.Runner() as loop:
                loop.run(graph.ainvoke(None, config, durability="sync"))
        else:
            graph.invoke(None, config, durability="sync")

    def _head(self, ns: str, at: str, run: Collection[str], done: Collection[str]) -> CheckpointTuple:
        found = reading.one(self.graph.codec, self.run.thread, ns, at)
        if found is None:
            raise HistoryLost(f"The checkpoint {at} of the run is gone.")
        pending = [
            write
            for write in found.pending_writes or ()
            if _kept(write[1], write[0] in run, write[0] in done)
        ]
        return found._replace(pending_writes=pending)

    def _context(self) -> Any:
        run = self.run
        user = get_user_model()._default_manager.filter(pk=run.user_id).first() if run.user_id else None
        return context.use(
            user=user, run=str(run.pk), cohort=run.cohort or None, tenant=run.tenant or None,
            feature=run.feature or None,
        )  # fmt: skip


def _kept(channel: str, runs: bool, done: bool) -> bool:
    """Whether a write stands in the record as the sandbox has it: of a task that runs its answers, of one that is done
    all, of the others that they failed, for the sake of those who handle it."""
    if channel == INTERRUPT:
        return False
    return channel == RESUME if runs else done or channel in SPECIAL


class _Saver(BaseCheckpointSaver[int]):
    """Gives the checkpoints of a moment, and keeps what is written to itself."""

    def __init__(self, codec: Codec, thread: str, heads: Mapping[str, CheckpointTuple], seen: Seen) -> None:
        super().__init__(serde=Serde(codec))
        self.codec = codec
        self.thread = thread
        self.heads = heads
        self.seen = seen

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> _Saver:
        return self

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        ns = config["configurable"].get("checkpoint_ns") or ""
        head, wanted = self.heads.get(ns), get_checkpoint_id(config)
        if wanted is None or head is None or head.checkpoint["id"] == wanted:
            return head
        return reading.one(self.codec, self.thread, ns, wanted)  # what a channel of differences is made of

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        given = config["configurable"]
        ns = given.get("checkpoint_ns") or ""
        self.seen.states.setdefault(ns, checkpoint)
        place = {"thread_id": given["thread_id"], "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}
        return {"configurable": place}

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        names = {name for name, _ in writes}
        if INTERRUPT in names:
            self.seen.waits.add(task_id)
        regular = placed(part for part in parts(self.codec, writes) if part.place >= 0)
        if regular != "{}":
            self.seen.wrote[task_id] = regular

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def aput(self, *args: Any) -> RunnableConfig:
        return self.put(*args)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self.put_writes(*args, **kwargs)


class _Tracer(Tracer):
    def __init__(
        self,
        codec: Codec,
        log: Log,
        seen: Seen,
        run: Collection[str],
        free: str | None,
        spaces: Collection[str],
    ) -> None:
        super().__init__("replay", codec, effects=False)
        self.log = log
        self.seen = seen
        self.run = run
        self.free = free
        self.spaces = spaces

    def begun(self, task: str, node: str, step: int | None, number: int, ns: str = "") -> Attempt:
        above = ns.rpartition("|")[0]
        if task not in self.run and above != self.free and above in self.spaces:
            raise GraphInterrupt(())  # held back: it is not what is looked at
        return super().begun(task, node, step, number, ns)

    def ended(self, attempt: Attempt, error: BaseException | None) -> None:
        super().ended(attempt, error)
        if attempt.error and not isinstance(error, Departed):
            self.seen.errors[attempt.task] = attempt.error


def as_json(state: Checkpoint, codec: Codec) -> dict[str, Any]:
    """Channel -> its value, as JSON has it."""
    found: dict[str, Any] = {
        name: json.loads(codec.dumps(value, name=name)) for name, value in state["channel_values"].items()
    }
    return found
