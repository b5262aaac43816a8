"""What was said in a call, as plain JSON: roles, words and tool calls.

What is no text, such as an image or a file, is only named: nobody could say what is in it, so it is not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, ToolMessage

__all__ = ["answer", "conversation", "fingerprint"]

ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
"""LangChain's names -> those that everybody else uses."""
WORDS = ("text", "reasoning", "thinking", "refusal")
"""Fields of a part of a message that hold words."""
CALLS = frozenset(["tool_use", "tool_call", "tool_call_chunk", "function_call", "input_json_delta"])
"""Parts that say again what ``tool_calls`` says."""


def conversation(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages of a request."""
    return [_message(message) for message in messages]


def answer(said: Sequence[BaseMessage]) -> Any:
    """What came back: one message, several where several answers were asked for, None where nothing came.

    Args:
        said: whole messages, or the pieces of one.
    """
    if not said:
        return None
    first, *others = said
    if isinstance(first, AIMessageChunk):
        pieces = [piece for piece in others if isinstance(piece, AIMessageChunk)]
        return _message(first + pieces if pieces else first)
    return _message(first) if not others else conversation(said)


def fingerprint(messages: Sequence[BaseMessage], model: str, parameters: Mapping[str, Any]) -> str:
    """SHA-256 of a request: the same words, tools and parameters have the same one in every process."""
    asked = [{**_message(message), "content": message.content, "name": message.name} for message in messages]
    text = json.dumps(
        [model, asked, parameters], sort_keys=True, default=lambda value: type(value).__qualname__
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _message(message: BaseMessage) -> dict[str, Any]:
    role = message.role if isinstance(message, ChatMessage) else ROLES.get(message.type, message.type)
    found: dict[str, Any] = {"role": role, "content": _content(message.content)}
    if isinstance(message, ToolMessage):
        found |= {"tool_call_id": message.tool_call_id, "status": message.status}
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        found["tool_calls"] = [
            {"id": call["id"], "name": call["name"], "args": call["args"]}
            for call in (*message.tool_calls, *message.invalid_tool_calls)
        ]
    return found


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content if not isinstance(part, Mapping) or part.get("type") not in CALLS]


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    kind = str(part.get("type", ""))
    words = {name: part[name] for name in WORDS if isinstance(part.get(name), str)}
    if kind == "tool_result":
        return {"type": kind, "content": _content(part.get("content") or "")}
    return {"type": kind, **(words or {"omitted": True})}
