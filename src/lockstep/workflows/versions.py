"""The shapes of the graphs that workers have run are kept."""

from __future__ import annotations

import json

from lockstep.workflows.connection import apart
from lockstep.workflows.registry import Workflow

__all__ = ["seen"]

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
