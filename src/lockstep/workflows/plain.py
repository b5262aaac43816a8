"""JSON as the database takes it, for what comes from people and from outside."""

from __future__ import annotations

import json
from typing import Any

from lockstep.core.jsonb import NUL

__all__ = ["plain"]


def plain(value: Any, what: str) -> str:
    """The text of ``value``, keys in order.

    Raises:
        ValueError: it is no JSON, or has NUL, NaN or half a surrogate pair in it, which PostgreSQL does not keep.
    """
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} must be JSON ({error}).") from error
    if NUL.search(text):
        raise ValueError(f"{what} must be JSON without the character NUL, which PostgreSQL does not keep.")
    return text
