"""Where an identifier with digits can begin: at a word that has one, at the sign or the short word before it.

The search jumps from digit to digit, so prose costs next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["anchors"]

DIGIT = re.compile(r"\d")
WORD = re.compile(r"[A-Za-z0-9]+")
WORD_BEFORE = re.compile(r"[A-Za-z]{1,9}(?=[ \t\r\n.\-]{1,3}\Z)")
MONTHS = frozenset("jan feb mar apr may jun jul aug sep oct nov dec".split())
SHORT = 5
"""Letters that stand apart before the digits of an identifier at most (the surname in a driving licence)."""
BEFORE = 12


def anchors(text: str) -> Iterator[tuple[str, int]]:
    """(kind, position), the kinds being those of ``Pattern.begins``. Linear: each word is looked at once."""
    end = 0
    while found := DIGIT.search(text, end):
        start = found.start()
        while start > end and text[start - 1].isascii() and text[start - 1].isalnum():
            start -= 1
        yield from _before(text, start, end)
        yield "9" if text[start].isdigit() else "A", start
        end = WORD.match(text, start).end()  # type: ignore[union-attr]


def _before(text: str, start: int, end: int) -> Iterator[tuple[str, int]]:
    sign = text[max(end, start - 2) : start]
    if sign[-1:] in ("+", "("):
        yield sign[-1], start - 1
        if sign == "+(":
            yield "+", start - 2
    near = text[max(end, start - BEFORE) : start]
    if near[-1:] in " \t\r\n.-" and (word := WORD_BEFORE.search(near)):
        position = start - len(near) + word.start()
        if position and text[position - 1].isalnum():
            return
        if len(word[0]) <= SHORT:
            yield "A", position
        if word[0][:3].lower() in MONTHS:
            yield "M", position
