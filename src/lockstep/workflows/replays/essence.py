"""Values but for what is chance in them.

A message that a node makes without an id gets one from LangGraph, by chance and while it is being stored: sometimes the
stored copy has it, sometimes not. What a live model answers has other ids of its own besides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["IDS", "SAID", "essence"]

IDS = frozenset(["id"])
SAID = frozenset(
    ["id", "response_metadata", "usage_metadata", "tool_call_id", "tool_call_chunks", "chunk_position"]
)
"""Of an answer and of what follows from it."""


def essence(data: Any, chance: Collection[str] = IDS) -> Any:
    """``data``, as the codec wrote it, without these fields of messages; with ``SAID`` also without ids of their calls
    of tools."""
    if isinstance(data, list):
        return [essence(part, chance) for part in data]
    if not isinstance(data, dict):
        return data
    if data.get("$t") == "pydantic" and "Message" in str(data.get("name")):
        fields = {**data.get("rest", {}), **data["v"]}
        kept = {name: essence(part, chance) for name, part in fields.items() if name not in chance}
        if chance is SAID:
            kept["tool_calls"] = [_call(call) for call in fields.get("tool_calls") or ()]
        return {"message": data["name"], **kept}
    return {name: essence(part, chance) for name, part in data.items()}


def _call(call: Any) -> Any:
    if isinstance(call, dict) and call.get("$t") == "dict":
        call = dict(zip(call["v"][::2], call["v"][1::2], strict=True))
    return {name: call[name] for name in ("name", "args") if name in call}
