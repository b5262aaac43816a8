"""Checkpoints as they are read back, and whole threads that are copied, pruned or forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple, writes_sort_key

from lockstep.workflows.codec import Codec
from lockstep.workflows.connection import apart

__all__ = ["copy", "forget", "forget_runs", "keep_latest", "many", "one"]

# One round trip: the state, what its tasks wrote so far, and the values that earlier checkpoints hold for it.
_ROW = """
    SELECT jsonb_build_array(c.thread, c.ns, c.checkpoint_id, c.parent_id, c.state, c.meta,
        coalesce((SELECT jsonb_agg(jsonb_build_array(w.path, w.task, w.writes))
            FROM lockstep_workflows_written_v1(c.thread, c.ns, c.checkpoint_id) AS w), '[]'),
        (SELECT jsonb_object_agg(k.key, held.state -> k.key) FROM jsonb_each_text(c.meta -> 'kept') AS k
            JOIN lockstep_workflows_checkpoint AS held ON held.thread = c.thread AND held.ns = c.ns
                AND held.checkpoint_id = k.value), c.id) AS row
    FROM lockstep_workflows_checkpoint AS c"""

PAGE = 100
"""Checkpoints that are read at once."""


def one(codec: Codec, thread: str, ns: str, checkpoint: str | None) -> CheckpointTuple | None:
    """The checkpoint of that id, or the latest one of the thread."""
    (found,) = apart.query(
        f"SELECT (SELECT row::text FROM ({_ROW} WHERE c.thread = %s AND c.ns = %s"
        " AND (%s::text IS NULL OR c.checkpoint_id = %s) ORDER BY c.checkpoint_id DESC LIMIT 1) AS latest)",
        (thread, ns, checkpoint, checkpoint),
    )
    return None if found is None else _tuple(codec, json.loads(found))


def many(
    codec: Codec,
    *,
    thread: str | None,
    ns: str | None,
    checkpoint: str | None,
    metadata: Mapping[str, Any] | None,
    before: str | None,
    limit: int | None,
) -> Iterator[CheckpointTuple]:
    """Checkpoints that match, the latest first."""
    wanted = json.dumps({name: codec.encode(part) for name, part in (metadata or {}).items()})
    after = ""
    left = limit
    while left is None or left > 0:
        (found,) = apart.query(
            f"SELECT coalesce(jsonb_agg(row), '[]')::text FROM ({_ROW}"
            " WHERE (%(thread)s::text IS NULL OR c.thread = %(thread)s) AND (%(ns)s::text IS NULL OR c.ns = %(ns)s)"
            " AND (%(checkpoint)s::text IS NULL OR c.checkpoint_id = %(checkpoint)s)"
            " AND (%(before)s::text IS NULL OR c.checkpoint_id < %(before)s)"
            " AND (%(after)s = '' OR (c.checkpoint_id, c.id::text) < (split_part(%(after)s, ' ', 1),"
            " split_part(%(after)s, ' ', 2)))"
            " AND c.meta -> 'metadata' @> %(metadata)s::jsonb"
            " ORDER BY c.checkpoint_id DESC, c.id::text DESC LIMIT %(page)s) AS page",
            {
                "thread": None if thread is None else str(thread), "ns": ns, "checkpoint": checkpoint, "before": before,
                "after": after, "metadata": wanted,
                "page": PAGE if left is None else min(PAGE, left),
            },
        )  # fmt: skip
        rows = json.loads(found)
        for row in rows:
            yield _tuple(codec, row)
        if len(rows) < PAGE:
            return
        after = f"{rows[-1][2]} {rows[-1][8]}"
        left = None if left is None else left - len(rows)


def forget(*, threads: Sequence[str]) -> None:
    """Delete all checkpoints of these threads."""
    apart.query(
        "WITH writes AS (DELETE FROM lockstep_workflows_checkpointwrite WHERE thread = ANY(%s) RETURNING 1),"
        " states AS (DELETE FROM lockstep_workflows_checkpoint WHERE thread = ANY(%s) RETURNING 1)"
        " SELECT (SELECT count(*) FROM states)",
        (list(threads), list(threads)),
    )


def forget_runs(runs: Sequence[str]) -> None:
    """Delete the checkpoints that these runs of LangGraph made, and what was written at them."""
    apart.query(
        "WITH states AS (DELETE FROM lockstep_workflows_checkpoint"
        " WHERE meta #>> '{metadata,run_id}' = ANY(%s) RETURNING thread, ns, checkpoint_id),"
        " writes AS (DELETE FROM lockstep_workflows_checkpointwrite AS w USING states AS s"
        " WHERE w.thread = s.thread AND w.ns = s.ns AND w.checkpoint_id = s.checkpoint_id RETURNING 1)"
        " SELECT (SELECT count(*) FROM states)",
        (list(runs),),
    )


def copy(source: str, target: str) -> None:
    """Copy a thread with all that was written in it; the copy expires when the original does."""
    apart.query(
        "WITH states AS (INSERT INTO lockstep_workflows_checkpoint (id, thread, ns, checkpoint_id, parent_id, step,"
        " source, state, outputs, meta, digest, subject, at, expires_at)"
        " SELECT lockstep_workflows_id_v1(%(target)s, ns, checkpoint_id), %(target)s, ns, checkpoint_id, parent_id,"
        " step, source, state, outputs, meta, digest, subject, at, expires_at"
        " FROM lockstep_workflows_checkpoint WHERE thread = %(source)s ON CONFLICT DO NOTHING RETURNING 1),"
        " writes AS (INSERT INTO lockstep_workflows_checkpointwrite (id, thread, ns, checkpoint_id, task_id, task_path,"
        " writes, subject, at, expires_at)"
        " SELECT lockstep_workflows_id_v1(%(target)s, ns, checkpoint_id, task_id), %(target)s, ns, checkpoint_id,"
        " task_id, task_path, writes, subject, at, expires_at"
        " FROM lockstep_workflows_checkpointwrite WHERE thread = %(source)s ON CONFLICT DO NOTHING RETURNING 1)"
        " SELECT (SELECT count(*) FROM states)",
        {"source": source, "target": target},
    )


def keep_latest(codec: Codec, thread: str) -> None:
    """Delete all checkpoints of a thread but the latest of each namespace, and those that it is rebuilt from.

    A channel of LangGraph's ``DeltaChannel`` is rebuilt along its ancestors: as far as they reach to a snapshot, they
    stay. So do checkpoints that hold values which did not change since.
    """
    stays: set[tuple[str, str]] = set()
    seen: set[str] = set()
    for found in many(codec, thread=thread, ns=None, checkpoint=None, metadata=None, before=None, limit=None):
        place = found.config["configurable"]
        if place["checkpoint_ns"] in seen:
            continue
        seen.add(place["checkpoint_ns"])
        stays |= {(place["checkpoint_ns"], one) for one in _rebuilt_from(codec, thread, found)}
    names = [[*place] for place in stays]
    apart.query(
        "WITH stays AS (SELECT value ->> 0 AS ns, value ->> 1 AS checkpoint_id"
        " FROM jsonb_array_elements(%(stays)s::jsonb)),"
        " states AS (DELETE FROM lockstep_workflows_checkpoint AS c WHERE c.thread = %(thread)s"
        " AND NOT EXISTS (SELECT FROM stays AS s WHERE s.ns = c.ns AND s.checkpoint_id = c.checkpoint_id) RETURNING 1),"
        " writes AS (DELETE FROM lockstep_workflows_checkpointwrite AS w WHERE w.thread = %(thread)s"
        " AND NOT EXISTS (SELECT FROM stays AS s WHERE s.ns = w.ns AND s.checkpoint_id = w.checkpoint_id) RETURNING 1)"
        " SELECT (SELECT count(*) FROM states)",
        {"thread": thread, "stays": json.dumps(names)},
    )


def _rebuilt_from(codec: Codec, thread: str, found: CheckpointTuple) -> set[str]:
    """Ids of a checkpoint, of those that hold its unchanged values, and of the ancestors of its delta channels."""
    place = found.config["configurable"]
    stays = {place["checkpoint_id"], *_kept(thread, place["checkpoint_ns"], place["checkpoint_id"])}
    missing = set(found.metadata.get("counters_since_delta_snapshot", {})) - set(
        found.checkpoint["channel_values"]
    )
    at: CheckpointTuple | None = found
    while missing and at is not None and at.parent_config is not None:
        above = at.parent_config["configurable"]
        at = one(codec, thread, above["checkpoint_ns"], above["checkpoint_id"])
        if at is not None:
            stays |= {above["checkpoint_id"], *_kept(thread, above["checkpoint_ns"], above["checkpoint_id"])}
            missing -= set(at.checkpoint["channel_values"])
    return stays


def _kept(thread: str, ns: str, checkpoint: str) -> list[str]:
    (found,) = apart.query(
        "SELECT (SELECT coalesce(jsonb_agg(DISTINCT k.value), '[]') FROM lockstep_workflows_checkpoint AS c,"
        " jsonb_each_text(c.meta -> 'kept') AS k WHERE c.thread = %s AND c.ns = %s AND c.checkpoint_id = %s)::text",
        (thread, ns, checkpoint),
    )
    return [str(name) for name in json.loads(found)]


def _tuple(codec: Codec, row: list[Any]) -> CheckpointTuple:
    thread, ns, checkpoint, parent, state, meta, written, kept = row[:8]
    values = _decoded(codec, {**state, **(kept or {})})
    pending = {
        writes_sort_key(path, task, int(place)): (task, channel, codec.decode(value))
        for path, task, writes in written
        for place, (channel, value) in writes.items()
    }
    return CheckpointTuple(
        config=_config(thread, ns, checkpoint),
        checkpoint={**_decoded(codec, meta["checkpoint"]), "channel_values": values},  # type: ignore[typeddict-item]
        metadata=_decoded(codec, meta["metadata"]),  # type: ignore[arg-type]
        parent_config=_config(thread, ns, parent) if parent else None,
        pending_writes=[pending[key] for key in sorted(pending)],
    )


def _decoded(codec: Codec, parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: codec.decode(part) for name, part in parts.items()}


def _config(thread: str, ns: str, checkpoint: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint}}
