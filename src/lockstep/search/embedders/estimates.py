"""Tokens without a tokeniser: where we cannot ask the model, err on the side of too many."""

from __future__ import annotations

import re

__all__ = ["estimated_spans", "estimated_tokens"]

#: Byte-pair and WordPiece vocabularies make about 1.3 tokens of an English word of 4.7 letters; four letters,
#: three digits or one character of anything else a token counts more than that on every text we tried.
PIECE = re.compile(r"[A-Za-z]{1,4}|[0-9]{1,3}|[^\sA-Za-z0-9]")


def estimated_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the pieces that would be tokens, in characters, ascending."""
    return [match.span() for match in PIECE.finditer(text)]


def estimated_tokens(text: str) -> int:
    """How many tokens ``text`` has at most, near enough."""
    return sum(1 for _ in PIECE.finditer(text))
