"""Structures as JSON has them: every string, number and key, also in JSON that is the text of a string.

Walked twice in the same order: once to collect the texts, so that a detector sees all of a call at once, and once to
put the redacted ones in their place.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

from lockstep.privacy.exceptions import Unredactable

__all__ = ["redact_structure"]

DEPTH = 64
"""Deeper structures are refused: nobody sends them by accident."""
PLAIN = frozenset(
    [
        "answer", "args", "arguments", "body", "comment", "comments", "content", "data", "description", "detail",
        "details", "input", "kwargs", "message", "messages", "note", "notes", "output", "parts", "prompt",
        "question", "remark", "remarks", "reply", "response", "result", "role", "text", "value",
    ]
)  # fmt: skip
"""Keys that say nothing about their value, nor about anybody."""
VAGUE = frozenset(["code", "digits", "id", "no", "num", "number", "ref", "reference", "value"])
"""Keys that mean something together with the one above them: ``{"account": {"number": …}}``."""
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\W]+")

Replace = Callable[[str, str], str]
"""What stands before a text, and the text -> the text as it may be kept."""


def redact_structure(content: Any, redact: Callable[[list[tuple[str, str]]], list[str]]) -> Any:
    """The same structure with every text redacted.

    Args:
        redact: takes all pairs of (what stands before, text) at once.

    Raises:
        Unredactable: there is something in it that JSON does not have, or it is too deep.
    """
    if type(content) is str and not looks_like_json(content):
        return redact([("", content)])[0]
    texts: list[tuple[str, str]] = []

    def collect(before: str, text: str) -> str:
        texts.append((before, text))
        return text

    walk(content, "", collect, 0)
    results = iter(redact(texts))
    given = iter(texts)

    def put(before: str, text: str) -> str:
        if next(given) != (before, text):  # an object that answers differently each time it is asked
            raise Unredactable
        return next(results)

    return walk(content, "", put, 0)


def walk(value: Any, before: str, replace: Replace, depth: int) -> Any:
    if type(value) is str:
        return _string(value, before, replace, depth)
    if value is None or isinstance(value, bool):
        return value
    if depth > DEPTH:
        raise Unredactable("The structure is too deep. Nothing of it is kept.")
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return _string(str(value), before, replace, depth)
    if isinstance(value, (int, float, Decimal)):
        return _number(value, before, replace)
    if isinstance(value, (date, time)):
        written = value.isoformat() if not isinstance(value, datetime) else value.isoformat(" ")
        return replace(before, written)
    if isinstance(value, UUID):
        return replace(before, str(value))
    if isinstance(value, Mapping):
        return dict(_items(value, before, replace, depth))
    if isinstance(value, (list, tuple, set, frozenset)):
        return [walk(item, before, replace, depth + 1) for item in value]
    return walk(_as_plain(value), before, replace, depth + 1)


def _items(value: Mapping[Any, Any], before: str, replace: Replace, depth: int) -> Iterator[tuple[Any, Any]]:
    seen: set[str] = set()
    for key, item in value.items():
        name = key if isinstance(key, str) else json.dumps(key) if key is None else str(key)
        shown = name if name in PLAIN else replace("", name)
        while shown in seen:  # two keys that differ only in what was redacted
            shown += "'"
        seen.add(shown)
        words = f"{before[:-2]} {name}: " if before and name.lower() in VAGUE else words_of(name)
        yield shown, walk(item, words, replace, depth + 1)


@lru_cache(maxsize=1024)
def words_of(key: str) -> str:
    """What a key says about its value, as words before it: ``nhs_number`` and ``nhsNumber`` become ``nhs number: ``."""
    if len(key) > 60 or key.lower() in PLAIN:
        return ""
    return " ".join(HUMP.sub(" ", key).split()) + ": "


def _string(text: str, before: str, replace: Replace, depth: int) -> str:
    if looks_like_json(text):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            kept = walk(inner, before, replace, depth + 1)
            return text if kept == inner else json.dumps(kept, ensure_ascii=False)
    return replace(before, text)


def looks_like_json(text: str) -> bool:
    return text[:64].lstrip()[:1] in ("{", "[")


def _number(value: float | Decimal, before: str, replace: Replace) -> Any:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 10**19
    text = str(int(value)) if whole else str(value)
    shown = replace(before, text)
    if shown != text:
        return shown
    return str(value) if isinstance(value, Decimal) else value


def _as_plain(value: Any) -> Any:
    """Messages, pydantic models and dataclasses as mappings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump()
    raise Unredactable(
        f"A {type(value).__name__} is no text and nothing that JSON has. Nothing of it is kept."
    )
