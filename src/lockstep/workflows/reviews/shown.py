"""JSON as people read it, with nothing of it hidden."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from lockstep.workflows.changes import Absent, Change

__all__ = ["Row", "changed", "rows", "text", "visible"]


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    text: str
    block: bool
    """Whether it wants room: several lines, or a structure."""


def rows(value: Any) -> list[Row]:
    """A dict by its keys; anything else in one piece."""
    if isinstance(value, dict) and value:
        return [_row(visible(str(key)), part) for key, part in value.items()]
    return [_row("", value)]


def text(value: Any) -> str:
    """A text as it is, whatever else as JSON."""
    if isinstance(value, Absent):
        return "—"
    return visible(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=repr)
    )


def changed(found: list[Change]) -> list[tuple[str, str, str]]:
    """Path, old and new."""
    return [(visible(one.path) or "all of it", text(one.old), text(one.new)) for one in found]


def visible(given: str) -> str:
    """Characters that change how others are shown, or are not shown at all, by their numbers: what a person approves is
    what they see."""
    return "".join(
        one
        if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else f"\\u{ord(one):04x}"
        for one in given
    )


def _row(name: str, value: Any) -> Row:
    shown = text(value)
    return Row(name, shown, isinstance(value, dict | list) or "\n" in shown or len(shown) > 100)
