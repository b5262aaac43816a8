"""Texts and facts as a database and a receiver can hold them: no NUL, nothing endless."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

__all__ = ["MOST_BODY", "key", "line", "plain", "text"]

MOST_BODY = 20_000
"""Characters of a body."""
MOST_FACTS = 20_000
"""Characters of the facts as JSON."""


def text(value: object, most: int = MOST_BODY) -> str:
    """Without NUL and halves of characters; what is cut off is counted."""
    whole = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    if len(whole) <= most:
        return whole
    end = f"… ({len(whole) - most:,} characters more)" if most > 100 else "…"
    return whole[: most - len(end)] + end


def line(value: object, most: int) -> str:
    """One line: line breaks in a subject would be headers of a mail."""
    return text(" ".join(str(value).split()), most)


def key(value: str, most: int = 200) -> str:
    """Two long keys that differ stay two."""
    whole = line(value, max(len(value), most))
    return whole if len(whole) <= most else f"{whole[: most - 65]}:{sha256(whole.encode()).hexdigest()}"


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON that PostgreSQL takes: dates, decimals and the like as texts."""
    cleaned: dict[str, Any] = _plain(json.loads(json.dumps(facts, cls=_Anything, skipkeys=True)))
    size = len(json.dumps(cleaned))
    return cleaned if size <= MOST_FACTS else {"left_out": f"{size:,} characters of facts"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {text(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return text(value) if isinstance(value, str) else value


class _Anything(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)
