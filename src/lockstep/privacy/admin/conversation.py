"""What was kept of a call, as people read it: turns of a conversation, or whatever else it is.

Content comes from people and from models. Every piece of it is text here, never markup, and there is an end to how
much of it one page shows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lockstep.privacy.placeholders import PLACEHOLDER

__all__ = ["MOST_CHARS", "Conversation", "Piece", "Turn", "conversation", "marked"]

MOST_CHARS = 200_000
"""Characters that a page shows of one text."""
MOST_TURNS = 500
KNOWN = {"role", "content", "tool_calls", "name", "tool_call_id"}
TONES = {"assistant": "lockstep-good", "tool": "lockstep-warn"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, or a structure as JSON."""

    body: SafeString
    title: str = ""
    """What it is, where that is not plain: the name of a tool, the type of a part."""
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    tone: str
    beside: str
    """Who spoke: name and id of a tool's answer."""
    pieces: tuple[Piece, ...]
    calls: tuple[Piece, ...]
    """Tools that the model wanted called, with their arguments."""


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: tuple[Turn, ...]
    rest: Piece | None
    """What is no conversation."""
    cut: int
    """Turns that are not shown."""


def conversation(text: str) -> Conversation:
    """Read what was kept. Whatever it is, there is something to show."""
    paper = _Paper(MOST_CHARS)
    try:
        data = json.loads(text)
        messages = _messages(data)
        if messages is None:
            return Conversation((), paper.structure(data), 0)
        turns = tuple(paper.turn(message) for message in messages[:MOST_TURNS])
        return Conversation(turns, None, max(0, len(messages) - MOST_TURNS))
    except (ValueError, RecursionError):  # no JSON, or one that only a machine could read
        return Conversation((), Piece(_Paper(MOST_CHARS).write(text)), 0)


def marked(text: str) -> SafeString:
    """The text with its placeholders set off."""

    def pieces() -> Iterator[tuple[str, SafeString | str]]:
        end = 0
        for found in PLACEHOLDER.finditer(text):
            name = format_html('<mark class="lockstep-placeholder">{}</mark>', found[0])
            yield text[end : found.start()], name
            end = found.end()
        yield text[end:], ""

    return format_html_join("", "{}{}", pieces())


def _messages(data: Any) -> Sequence[Mapping[str, Any]] | None:
    """The messages, if it is one or a list of them."""
    every = data if isinstance(data, list) else [data]
    if every and all(_is_message(one) for one in every):
        return every
    return None


def _is_message(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("role"), str)
        and ("content" in one or "tool_calls" in one)
    )


class _Paper:
    """So much room, and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, text: str) -> SafeString:
        text = _printable(text)
        shown = text[: self.room]
        self.room -= len(shown)
        if len(shown) == len(text):
            return marked(text)
        left = f"… {len(text) - len(shown):,} more characters are not shown"
        return format_html('{}<span class="quiet lockstep-cut">{}</span>', marked(shown), left)

    def structure(self, data: Any, title: str = "") -> Piece:
        if isinstance(data, str):
            return Piece(self.write(data), title)
        return Piece(self.write(json.dumps(data, ensure_ascii=False, indent=2)), title, is_code=True)

    def turn(self, message: Mapping[str, Any]) -> Turn:
        role = message["role"]
        beside = [_short(message[key]) for key in ("name", "tool_call_id") if message.get(key)]
        pieces = list(self.contents(message.get("content")))
        more = {key: value for key, value in message.items() if key not in KNOWN}
        if more:
            pieces.append(self.structure(more, "more"))
        calls = message.get("tool_calls") or []
        return Turn(
            _short(role), TONES.get(role, ""), " · ".join(beside), tuple(pieces),
            tuple(self.call(one) for one in (calls if isinstance(calls, list) else [calls])),
        )  # fmt: skip

    def contents(self, content: Any) -> Iterator[Piece]:
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
                yield Piece(self.write(part["text"]))
            elif part not in (None, ""):
                kind = part.get("type") if isinstance(part, dict) else ""
                yield self.structure(part, _short(kind) if kind else "")

    def call(self, one: Any) -> Piece:
        """A tool call; its arguments may be JSON inside a string."""
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            return self.structure(one)
        given = one.get("args", {})
        if isinstance(given, str):
            with contextlib.suppress(ValueError, RecursionError):
                given = json.loads(given)
        return self.structure(given, _short(one["name"]))


def _printable(text: str) -> str:
    """Without what no page can carry: NUL, and halves of characters."""
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode()


def _short(value: Any) -> str:
    text = _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 100 else f"{text[:100]}…"
