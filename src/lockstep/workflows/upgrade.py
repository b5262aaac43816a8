"""What a deploy would do to the runs that are under way: asked before it, with the new code and the live database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lockstep.workflows import reading, registry
from lockstep.workflows.exceptions import UnknownWorkflow, WorkflowError
from lockstep.workflows.graphs import levels
from lockstep.workflows.models import GraphVersion, Run
from lockstep.workflows.registry import Workflow
from lockstep.workflows.saver import DjangoSaver

__all__ = ["Broken", "broken_runs", "drift"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A live run that this code cannot go on with."""

    run: Run
    reason: str
    """In a sentence."""


def broken_runs() -> list[Broken]:
    """Live runs whose version is not there, whose graph cannot be built, or whose next node is gone."""
    found = []
    for run in Run.objects.live().order_by("at").iterator():
        reason = _trouble(run)
        if reason:
            found.append(Broken(run, reason))
    return found


def drift(workflow: Workflow) -> Iterator[str]:
    """What is different from the shape that was last run under this version, in sentences; none where nothing is."""
    before = (
        GraphVersion.objects.filter(workflow=workflow.name, version=workflow.version)
        .order_by("-last_seen_at")
        .first()
    )
    if before is None:
        return
    try:
        graph = workflow.graph()
    except Exception as error:  # whatever a module raises that cannot be imported any more
        yield f"the graph cannot be built: {type(error).__name__}: {error}"
        return
    if before.digest == graph.digest:
        return
    now = graph.topology
    for part in ("nodes", "channels"):
        old, new = before.topology[part], now[part]
        yield from (f"{part}: {name} is gone" for name in sorted(old.keys() - new.keys()))
        yield from (f"{part}: {name} is new" for name in sorted(new.keys() - old.keys()))
        yield from (
            f"{part}: {name} has changed"
            for name in sorted(old.keys() & new.keys())
            if old[name] != new[name]
        )


def _trouble(run: Run) -> str:
    try:
        graph = registry.find(run.workflow, run.version).graph()
    except UnknownWorkflow as error:
        return str(error)
    except Exception as error:  # whatever a module raises that cannot be imported any more
        return f"The graph cannot be built: {type(error).__name__}: {error}"
    if not run.transitions:
        return ""
    try:
        head = reading.one(graph.codec, run.thread, "", run.head)
    except WorkflowError as error:
        return f"The state cannot be read: {error}"
    if head is None:
        return "Its latest checkpoint is gone."
    missing = graph.missing(head.checkpoint["channel_values"])
    if not missing:
        saver = DjangoSaver(codec=graph.codec)
        state = graph.with_saver(saver).get_state(head.config, subgraphs=True)
        missing = [name for level in levels(state) for name in graph.gone(saver, level)]
    return f"It goes on at {', '.join(missing)}, and the graph has no such node." if missing else ""
