"""Facts on their way to a function of the database."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["dumps", "storable"]

SURROGATE = re.compile("[\ud800-\udfff]")
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The escaped character, and not a backslash that ``u0000`` happens to follow."""


def storable(text: str) -> bool:
    """Whether PostgreSQL takes it: no NUL, no half of a surrogate pair."""
    return "\0" not in text and SURROGATE.search(text) is None


def dumps(facts: Mapping[str, Any]) -> str:
    """JSON as jsonb takes it: without NUL, and without half a surrogate pair."""
    text = json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace").decode()
    return NUL.sub(r"\1", text) if "\\u0000" in text else text
