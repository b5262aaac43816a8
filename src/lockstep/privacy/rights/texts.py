"""Counts of a receipt, for people."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["line"]

WORDS = {"erased": "erased", "blanked": "emptied", "held": "kept under legal hold", "exported": "exported"}


def line(found: Mapping[str, int]) -> str:
    """``3 erased, 1 kept under legal hold``; what is none is left out, unless all is."""
    some = [f"{found[kind]} {word}" for kind, word in WORDS.items() if found.get(kind)]
    return ", ".join(some) or "—"
