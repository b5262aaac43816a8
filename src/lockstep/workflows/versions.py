"""The shapes of the graphs that workers have run, so that a deploy that changes one under its old name is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lockstep.workflows.connection import apart
from lockstep.workflows.models import GraphVersion
from lockstep.workflows.registry import Workflow

__all__ = ["drift", "seen"]

SEEN = """
INSERT INTO lockstep_workflows_graphversion (workflow, version, digest, topology) VALUES (%s, %s, %s, %s::jsonb)
ON CONFLICT (workflow, version, digest) DO UPDATE SET last_seen_at = clock_timestamp() RETURNING true
"""

_told: set[tuple[str, str, str]] = set()


def seen(workflow: Workflow) -> None:
    """Note that this process runs the workflow as it is; once a process."""
    graph = workflow.graph()
    key = workflow.name, workflow.version, graph.digest
    if key not in _told:
        apart.query(SEEN, (*key, json.dumps(graph.topology)))
        _told.add(key)


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
