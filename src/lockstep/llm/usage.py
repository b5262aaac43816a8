"""What LangChain's messages say of a request and its answer: size, tokens, tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_usage

from lockstep.llm.conf import settings
from lockstep.llm.ledger import MOST_TOKENS, Usage

__all__ = ["Seen", "bound_of", "most_output", "tools_done", "usage_of"]

MESSAGE_TOKENS = 16
"""Roles and separators of one message, by any provider's template."""
IMAGE_TOKENS = 4_000
"""Of one image, whatever its size; providers bill less."""
OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How providers call the limit of an answer."""
MARK = "lockstep_call"
"""Where an answer keeps the id of its row, in ``response_metadata``."""


def bound_of(messages: Iterable[BaseMessage], request: Mapping[str, Any]) -> int:
    """Tokens that a request can be at most: no byte-level tokeniser makes more tokens than there are bytes."""
    size = 64
    for message in messages:
        size += MESSAGE_TOKENS + _bytes_of(message.content)
        calls = getattr(message, "tool_calls", None)
        if calls:
            size += _json_bytes(calls)
    return size + sum(
        _json_bytes(request[name]) for name in ("tools", "functions", "response_format") if request.get(name)
    )


def most_output(*places: Mapping[str, Any]) -> int:
    """Tokens that an answer can be at most: the first limit set, else that of the settings; for each of ``n`` answers.

    Args:
        places: parameters of the request, of the model, of its provider: the first that says something counts.
    """
    limits = (place.get(name) for place in places for name in OUTPUT_LIMITS)
    limit = next((found for found in limits if found), settings().max_output_tokens)
    answers = next((place["n"] for place in places if place.get("n")), 1)
    return max(1, int(limit)) * max(1, int(answers))


def usage_of(found: UsageMetadata | None) -> Usage | None:
    """Tokens as LangChain normalises them: cached ones inside the input, reasoning inside the output.

    Returns: None where nobody counted the input, which is never empty: the call is charged at its bound then.
    """
    if not found or not found.get("input_tokens"):
        return None
    read: Mapping[str, Any] = found.get("input_token_details") or {}
    wrote: Mapping[str, Any] = found.get("output_token_details") or {}
    return Usage(
        _tokens(found["input_tokens"]),
        _tokens(found.get("output_tokens")),
        _tokens(read.get("cache_read")),
        _tokens(_written(read)),
        _tokens(wrote.get("reasoning")),
    )


def _tokens(value: Any) -> int:
    return min(max(int(value or 0), 0), MOST_TOKENS)


def _written(details: Mapping[str, Any]) -> int:
    """Anthropic's caches of five minutes and of an hour are told apart by some versions, added up by others."""
    parts = [int(value or 0) for name, value in details.items() if name.startswith("ephemeral_")]
    return max(int(details.get("cache_creation") or 0), sum(parts))


def tools_done(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """What became of the tools that answers in this conversation wanted called."""
    asked: dict[str, str] = {}
    done: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, AIMessage) and _is_id(message.response_metadata.get(MARK)):
            asked |= {str(call["id"]): message.response_metadata[MARK] for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.tool_call_id in asked:
            done.append(
                {
                    "call": asked[message.tool_call_id],
                    "id": message.tool_call_id,
                    "ok": message.status != "error",
                }
            )
    return done


def _is_id(mark: Any) -> bool:
    """A conversation may have come back from a browser: its marks are anybody's."""
    try:
        return bool(mark) and bool(UUID(str(mark)))
    except ValueError:
        return False


@dataclass(slots=True)
class Seen:
    """What has come of an answer so far, whether whole or in pieces."""

    usage: UsageMetadata | None = None
    finish_reason: str = ""
    model: str = ""
    pieces: int = 0
    tools: dict[str, str] = field(default_factory=dict)
    """Id -> name."""

    def add(self, message: BaseMessage, said: Mapping[str, Any]) -> None:
        """Take note of a message or of a piece of one, and of what was said about it."""
        self.pieces += 1
        if not isinstance(message, AIMessage):
            return
        if message.usage_metadata:
            self.usage = add_usage(self.usage, message.usage_metadata)
        said = {**said, **message.response_metadata}
        reason = said.get("finish_reason") or said.get("stop_reason") or said.get("status")
        self.finish_reason = str(reason or self.finish_reason)
        self.model = str(said.get("model_name") or said.get("model") or self.model)
        for call in (*getattr(message, "tool_call_chunks", ()), *message.tool_calls):
            if call.get("id") and call.get("name"):
                self.tools[str(call["id"])] = str(call["name"])

    def tool_rows(self) -> list[dict[str, Any]]:
        return [{"id": key, "name": name, "ok": None} for key, name in self.tools.items()]


def _bytes_of(content: Any) -> int:
    if isinstance(content, str):
        return len(content.encode("utf-8", "surrogatepass"))
    size = 0
    for part in content:
        if isinstance(part, str):
            size += _bytes_of(part)
        elif "image" in str(part.get("type", "")):
            size += IMAGE_TOKENS
        else:
            size += _json_bytes(part)
    return size


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass"))
