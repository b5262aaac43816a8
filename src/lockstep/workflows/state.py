"""Graph state as text for jsonb, and the fingerprints by which two states are compared."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lockstep.workflows.codec import Codec
from lockstep.workflows.conf import settings

__all__ = ["codec", "digest"]


def codec() -> Codec:
    """What every state is written and read with: LangGraph's own types, and those of the settings."""
    return _codec(tuple(settings().types))


@lru_cache(maxsize=8)
def _codec(types: tuple[str, ...]) -> Codec:
    return Codec(types=types)


def digest(*parts: str) -> str:
    """SHA-256 of texts, in hex."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode("utf-8", "surrogatepass"))
        found.update(b"\x1f")
    return found.hexdigest()
