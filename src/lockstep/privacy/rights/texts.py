"""Counts and errors, for people."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import Error

__all__ = ["line", "told"]

WORDS = {"erased": "erased", "blanked": "emptied", "held": "kept under legal hold", "exported": "exported"}


def line(found: Mapping[str, int]) -> str:
    """``3 erased, 1 kept under legal hold``; what is none is left out, unless all is."""
    some = [f"{found[kind]} {word}" for kind, word in WORDS.items() if found.get(kind)]
    return ", ".join(some) or "—"


def told(error: Error) -> str:
    """What the database says, without the values that it adds."""
    said = getattr(getattr(error.__cause__, "diag", None), "message_primary", None)
    return str(said or type(error).__name__)
