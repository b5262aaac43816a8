"""Counts tokens by reading a text once."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import sub

__all__ = ["LONGEST_TOKEN", "Ruler"]

#: Characters that count as one token at most. Tokenisers give up on a long word and call it one token.
LONGEST_TOKEN = 64
#: Characters that are tokenised at once; tokenisers slow down on megabytes.
WINDOW = 8_192


class Ruler:
    """Counts the tokens of any span of a text, reading each part of the text once and none too early.

    Args:
        text: what is measured.
        token_spans: ``Embedder.token_spans``.
    """

    def __init__(self, text: str, token_spans: Callable[[str], Sequence[tuple[int, int]]]) -> None:
        self.text = text
        self.token_spans = token_spans
        self._starts = array("q")
        self._read = 0

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in ``text[start:end]``."""
        return self._index(end) - self._index(start)

    def after(self, start: int, tokens: int) -> int:
        """Where the token begins that comes ``tokens`` after the first one from ``start`` on."""
        return self._starts[self._index(start) + tokens]

    def _index(self, position: int) -> int:
        """How many tokens begin before a position."""
        while self._read < min(position, len(self.text)):
            self._read_window()
        return bisect_left(self._starts, position)

    def _read_window(self) -> None:
        start, end = self._read, min(self._read + WINDOW, len(self.text))
        if end < len(self.text):
            end = next((at for at in range(end, start + WINDOW // 2, -1) if self.text[at].isspace()), end)
        starts = [start, *(start + offset for offset, _ in self.token_spans(self.text[start:end])), end]
        if max(map(sub, starts[1:], starts)) > LONGEST_TOKEN:
            starts = _filled(starts)
        self._starts.extend(starts[1:-1])
        self._read = end


def _filled(starts: list[int]) -> list[int]:
    """With more starts, so that no stretch counts for less than a token each ``LONGEST_TOKEN`` characters."""
    filled = starts[:1]
    for before, after in pairwise(starts):
        filled += range(before + LONGEST_TOKEN, after, LONGEST_TOKEN)
        filled.append(after)
    return filled
