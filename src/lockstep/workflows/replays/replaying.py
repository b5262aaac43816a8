"""A run, node by node, from what is written of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from lockstep.workflows import reading, registry
from lockstep.workflows.codec import Codec
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import NotReplayable
from lockstep.workflows.graphs import Graph
from lockstep.workflows.models import Run
from lockstep.workflows.replays.essence import IDS, SAID, essence
from lockstep.workflows.replays.log import Log, Mode
from lockstep.workflows.replays.record import Point, Record, Task
from lockstep.workflows.replays.report import Checked, Report
from lockstep.workflows.replays.sandbox import Sandbox, Seen, as_json
from lockstep.workflows.state import digest

__all__ = ["replay"]


def replay(run: Run | str, mode: Mode = "recorded") -> Report:
    """Run the nodes of a run once more, each from the state that it was given, and compare what comes of it.

    Nothing is written of it, and no effect begins: tools are answered from the ledger, people and events from what they
    said. A node that does what the log does not tell of goes no further.

    Args:
        run: one of any status; of one that has not ended, what is there of it.
        mode: ``recorded``: models say again what they said, and every node must write the same.
            ``live-model``: the same models are asked again, with the same parameters and versions of prompts, and are
            paid for.

    Raises:
        NotReplayable: its content has expired, or it cannot be done; the text says why.
        UnknownWorkflow: this deploy does not have its version.
        HistoryLost: a checkpoint is gone.
        Run.DoesNotExist: there is none.
    """
    if mode not in ("recorded", "live-model"):
        raise ValueError(f"mode is 'recorded' or 'live-model', not {mode!r}.")
    if not isinstance(run, Run):
        run = Run.objects.using(settings().database).get(pk=run)
    if run.expires_at <= timezone.now():
        raise NotReplayable(f"What run {run.pk} was about has expired: there is nothing to replay.")
    graph = registry.find(run.workflow, run.version).graph()
    record = Record(run)
    redacted = (run.origin or {}).get("mode") == "redacted"
    if redacted and mode != "recorded":
        raise NotReplayable(
            f"Run {run.pk} is a redacted copy: models cannot be asked what was taken out of it."
        )
    checked = _structure(record, graph) if redacted else _Replay(run, graph, record, mode).checked()
    status = (run.origin or {}).get("status", run.status)
    return Report(
        str(run.pk), run.workflow, run.version, "structure" if redacted else mode, status, tuple(checked)
    )


class _Replay:
    def __init__(self, run: Run, graph: Graph, record: Record, mode: Mode) -> None:
        self.mode = mode
        self.run = run
        self.codec: Codec = graph.codec
        self.record = record
        then = {task.id: task.then for point in record.points.values() for task in point.tasks}
        self.log = Log(run, graph.codec, mode, then)
        workflow = registry.find(run.workflow, run.version)
        self.sandbox = Sandbox(run, workflow, graph, self.log, set(record.spaces) | {""})

    def checked(self) -> Iterator[Checked]:
        for point in self.record.root():
            yield from self._point(point, ())

    def _point(self, point: Point, above: tuple[str, ...]) -> Iterator[Checked]:
        """All that was run from a checkpoint, subgraphs with what is in them, and then the state that it made."""
        tasks = {task.id: task for task in point.tasks}
        opened = self._opened(point)
        for task, name in opened.items():
            yield from self._subgraph(point, task, name, tasks.pop(task, None), above)
        for one in tasks.values():
            seen = self._play(point, one.id, above)
            yield self._node(point, one, seen)
        if point.following:
            yield self._state(point, above)

    def _opened(self, point: Point) -> dict[str, str]:
        """Tasks at a checkpoint that are subgraphs with states of their own -> their node."""
        depth = point.ns.count("|") + 1 if point.ns else 0
        found: dict[str, str] = {}
        for ns, points in self.record.spaces.items():
            parts = ns.split("|") if ns else []
            if len(parts) == depth + 1 and points[0].parents.get(point.ns) == point.id:
                name, _, task = parts[-1].partition(":")
                found[task] = name
        return found

    def _subgraph(
        self, point: Point, task: str, name: str, whole: Task | None, above: tuple[str, ...]
    ) -> Iterator[Checked]:
        points = self.record.within(task)
        yield self._input(point, task, name, points[0], above)
        for one in points:
            yield from self._point(one, (*above, task))
        if whole is not None:
            last = points[-1]
            self.log.live = ()
            seen = self.sandbox.play(last, {*above, task}, free=last.ns)
            yield self._node(point, whole, seen)

    def _play(self, point: Point, task: str, above: tuple[str, ...]) -> Seen:
        self.log.live = (task,)
        return self.sandbox.play(point, {*above, task})

    def _node(self, point: Point, task: Task, seen: Seen) -> Checked:
        now = seen.outcome(task.id) or ("waiting" if task.id in self.log.stood else "")
        why = self.log.why.get(task.id, "")
        same = not why and now == task.then
        heard = tuple(self.log.spoken.get(task.id, ()))
        if not same and not why and task.id in seen.wrote:
            same = self._alike(task, seen)
        if not same and not why:
            why = f"LangGraph ends it: {seen.error}" if seen.error else self._difference(task, seen, now)
        return Checked("node", task.node, task.step, point.ns, task.then, now, same, why, heard)

    def _alike(self, task: Task, seen: Seen) -> bool:
        """Whether a node wrote the same but for what is chance."""
        chance = SAID if self.mode == "live-model" else IDS
        then, now = _channels(task.wrote), _channels(json.loads(seen.wrote[task.id]))
        return bool(then) and essence(then, chance) == essence(now, chance)

    def _difference(self, task: Task, seen: Seen, now: str) -> str:
        if not now:
            return "the node does not run: the graph has no such node any more"
        if task.id in seen.errors and task.id not in seen.wrote:
            return f"it fails with {now}"
        if task.id not in seen.wrote and task.id not in seen.waits:
            return "it does not come to an end"
        if task.then == "waiting" or now == "waiting":
            return "it stops to wait" if now == "waiting" else "it does not stop to wait"
        if not _regular(task.wrote):
            return f"it does not fail with {task.then}"
        then, wrote = essence(_channels(task.wrote)), essence(_channels(json.loads(seen.wrote[task.id])))
        differ = sorted(name for name in then.keys() | wrote.keys() if then.get(name) != wrote.get(name))
        return f"what it writes differs, in {', '.join(differ)}" if differ else "what it writes differs"

    def _input(self, point: Point, task: str, name: str, first: Point, above: tuple[str, ...]) -> Checked:
        self.log.live = ()
        seen = self.sandbox.play(point, {*above, task})
        return self._compared("input", name, first, seen)

    def _state(self, point: Point, above: tuple[str, ...]) -> Checked:
        handled = self.record.handled[point.ns, point.id]
        done = self.record.finished(point.ns, point.id) - handled
        self.log.live = ()
        seen = self.sandbox.play(point, {*above, *handled}, done=done)
        names = ", ".join(dict.fromkeys(task.node for task in point.tasks)) or "__start__"
        return self._compared("state", names, self.record.points[point.ns, point.following], seen)

    def _compared(self, kind: str, name: str, then: Point, seen: Seen) -> Checked:
        """A state as it was stored, and as it is made now. Ids that LangGraph itself gives to messages are chance."""
        found = reading.one(self.codec, self.run.thread, then.ns, then.id)
        state = seen.states.get(then.ns)
        before = essence(as_json(found.checkpoint, self.codec)) if found else {}
        now = essence(as_json(state, self.codec)) if state else {}
        differ = sorted(part for part in before.keys() | now.keys() if before.get(part) != now.get(part))
        why = ""
        if state is None:
            why = f"LangGraph ends it: {seen.error}" if seen.error else "it is not reached"
        elif differ:
            why = f"it differs in {', '.join(differ)}"
        return Checked(
            kind, name, then.step, then.ns, _digest(before), _digest(now) if state else "", not why, why
        )


def _structure(record: Record, graph: Graph) -> Iterator[Checked]:
    """What can be said without the content: that the graph still has the nodes, and each step its outcome."""
    known = graph.names
    for point in record.root():
        for task in point.tasks:
            why = "" if task.node in known else "the graph has no such node any more"
            yield Checked("node", task.node, task.step, point.ns, task.then, "", not why, why)


def _digest(state: dict[str, Any]) -> str:
    return digest(json.dumps(state, sort_keys=True))


def _regular(wrote: dict[str, Any]) -> dict[str, Any]:
    return {place: write for place, write in wrote.items() if not place.startswith("-")}


def _channels(wrote: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for channel, value in _regular(wrote).values():
        found.setdefault(channel, []).append(value)
    return found
