"""Values but for what is chance in them: ids of messages, and what a provider says beside an answer."""

from __future__ import annotations

from typing import Any

__all__ = ["essence"]

CHANCE = frozenset(
    ["id", "response_metadata", "usage_metadata", "tool_call_id", "tool_call_chunks", "chunk_position"]
)


def essence(data: Any) -> Any:
    """``data``, as the codec wrote it, without ids of messages and of their calls of tools."""
    if isinstance(data, list):
        return [essence(part) for part in data]
    if not isinstance(data, dict):
        return data
    if data.get("$t") == "pydantic" and "Message" in str(data.get("name")):
        fields = {**data.get("rest", {}), **data["v"]}
        calls = [_call(call) for call in fields.get("tool_calls") or ()]
        kept = {name: essence(part) for name, part in fields.items() if name not in CHANCE}
        return {"message": data["name"], **kept, "tool_calls": calls}
    return {name: essence(part) for name, part in data.items()}


def _call(call: Any) -> Any:
    if isinstance(call, dict) and call.get("$t") == "dict":
        call = dict(zip(call["v"][::2], call["v"][1::2], strict=True))
    return {name: call[name] for name in ("name", "args") if name in call}
