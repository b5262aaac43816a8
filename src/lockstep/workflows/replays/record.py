"""What a run left behind, put in order: its checkpoints, the tasks at each, and what came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lockstep.workflows.exceptions import NotReplayable
from lockstep.workflows.models import Checkpoint, CheckpointWrite, NodeExecution, Run

__all__ = ["HANDLED", "Point", "Record", "Task"]

HIDDEN = ("-1", "-2", "-3", "-4")
"""Places of writes that are no output."""
HANDLER = "node_error_handler"
"""In the path of a task."""
HANDLED = "__error_source_node__"
"""Written by a task whose error is handled."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task that came to something."""

    id: str
    node: str
    step: int | None
    then: str
    """SHA-256 of what it wrote, the kind of its error, or ``waiting``."""
    wrote: dict[str, Any]
    """Place -> [channel, value], encoded."""


@dataclass(slots=True)
class Point:
    """One checkpoint, and what was run from there."""

    ns: str
    id: str
    step: int | None
    source: str
    parents: dict[str, str]
    """Namespace -> checkpoint of the graphs above."""
    tasks: list[Task] = field(default_factory=list)
    following: str = ""
    """The checkpoint that the transition ended with; empty: it did not end."""


class Record:
    """All of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        found: list[tuple[str, str, str, str, dict[str, Any]]] = []
        own = {"run": run, "thread": run.thread, "expires_at": run.expires_at}
        self.points: dict[tuple[str, str], Point] = {}
        self.writes: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.handled: dict[tuple[str, str], set[str]] = defaultdict(set)
        """Checkpoint -> tasks there whose error another handled, and those others: they run in every transition."""
        for row in Checkpoint.objects.filter(**own).order_by("checkpoint_id").iterator():
            place, before = (row.ns, row.checkpoint_id), (row.ns, row.parent_id)
            parents = row.meta.get("metadata", {}).get("parents")
            self.points[place] = Point(*place, row.step, row.source, parents or {})
            if before in self.points and row.source == "loop":
                self.points[before].following = row.checkpoint_id
            found += [(path, *before, task, wrote) for task, path, wrote in row.written()]
        for write in CheckpointWrite.objects.filter(**own).iterator():
            found.append((write.task_path, write.ns, write.checkpoint_id, write.task_id, write.writes))
        for path, ns, at, task, wrote in sorted(found, key=lambda one: one[0]):
            self.writes.setdefault((ns, at, task), {}).update(wrote)
            if HANDLER in path or any(channel == HANDLED for channel, _ in wrote.values()):
                self.handled[ns, at].add(task)
        self.spaces: dict[str, list[Point]] = defaultdict(list)
        for point in self.points.values():
            self.spaces[point.ns].append(point)
        for ns in self.spaces:
            if ns and ":" not in ns.rpartition("|")[2]:
                raise NotReplayable(
                    f"The subgraph {ns!r} keeps its state from call to call (checkpointer=True), and a replay cannot"
                    " give it the state that it had."
                )
        self._fill()

    def _fill(self) -> None:
        ended = self.run.nodes.exclude(status=NodeExecution.Status.DIED).order_by("id")
        latest = {(row.ns, row.checkpoint, row.task_id): row for row in ended}
        for (ns, at, task), wrote in self.writes.items():
            row = latest.get((ns, at, task))
            if row is None:  # LangGraph's own
                continue
            then = row.output_digest or "ok"
            if row.status == NodeExecution.Status.ERROR:
                then = row.error_kind
            elif all(place in HIDDEN for place in wrote):
                then = "waiting"
            if (ns, at) in self.points:
                self.points[ns, at].tasks.append(Task(task, row.node, row.step, then, wrote))

    def within(self, task: str) -> list[Point]:
        """Checkpoints of the subgraph that a task is."""
        return next((points for ns, points in self.spaces.items() if ns.endswith(f":{task}")), [])

    def finished(self, ns: str, at: str) -> set[str]:
        """Tasks that need not run to have the transition made again."""
        return {
            task for (space, point, task), wrote in self.writes.items()
            if (space, point) == (ns, at) and any(place not in HIDDEN for place in wrote)
        }  # fmt: skip

    def root(self) -> Iterator[Point]:
        yield from self.spaces.get("", ())
