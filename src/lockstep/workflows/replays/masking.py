"""The shape of a run, and of what it says only what may be kept."""

from __future__ import annotations

from typing import Any

from lockstep.core import ports

__all__ = ["masked"]

CONTENT = {
    "RunContent": ("data",),
    "Wait": ("payload", "schema", "answer"),
    "ToolCall": ("args", "result", "error"),
    "ModelAnswer": ("answer",),
}
NAMES = {
    "Checkpoint": ("digest",),
    "NodeExecution": ("worker", "output_digest"),
    "Wait": ("name", "key", "assignee", "answered_by", "digest"),
    "ToolCall": ("external_key", "settled_by", "key"),
    "ToolAttempt": ("worker",),
    "ModelAnswer": ("request", "key"),
}
"""What is emptied: names of people and machines, and digests, from which short content can be guessed."""


def masked(table: str, row: dict[str, Any], feature: str) -> dict[str, Any]:
    """The row with its content redacted, by the policy of ``feature``; None stands where nothing may be kept."""
    found = {**row, **dict.fromkeys(NAMES.get(table, ()), "")}
    if "subject" in found:
        found["subject"] = ""
    for name in CONTENT.get(table, ()):
        found[name] = _copy(found[name], feature)
    if table == "RunContent" and found["data"] is None:
        found["data"] = {}
    if table == "ToolCall":
        found |= {"args": found["args"] or {}, "stops": []}
    if table == "Checkpoint":
        found |= {
            "state": {name: _copy(value, feature) for name, value in found["state"].items()},
            "outputs": {
                task: [path, _places(places, feature)]
                for task, (path, places) in (found["outputs"] or {}).items()
            },
            "meta": _shape(found["meta"]),
        }
    if table == "CheckpointWrite":
        found["writes"] = _places(found["writes"], feature)
    return found


def _places(places: dict[str, list[Any]], feature: str) -> dict[str, list[Any]]:
    return {
        place: [channel, *(_copy(one, feature) for one in value)]
        for place, (channel, *value) in places.items()
    }


def _copy(value: Any, feature: str) -> Any:
    """What may be kept of a value."""
    if value is None:
        return None
    copy = ports.redaction.get().redact(value, feature=feature or None)
    return None if copy is None or copy.encrypted else copy.data


def _shape(meta: dict[str, Any]) -> dict[str, Any]:
    """What LangGraph notes beside a state, without what a caller may have added."""
    told = meta.get("metadata", {})
    return {
        "checkpoint": meta.get("checkpoint", {}),
        "metadata": {name: told[name] for name in ("source", "step", "parents") if name in told},
        "kept": meta.get("kept", {}),
    }
