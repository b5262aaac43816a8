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
MONTHS = frozenset(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
GAPS, SIGNS = frozenset(" \t\r\n.-"), frozenset("+(")
ROW = re.compile(r"\d(?:[ \t\r\n.\-()/]{0,3}\d){0,24}")
NOT_DIGITS = re.compile(r"\D+")
SHORT = 5
"""Letters that stand apart before the digits of an identifier at most (the surname in a driving licence)."""
BEFORE = 12


Anchor = tuple[str, int, int, int]


def anchors(text: str) -> Iterator[Anchor]:
    """(kind, position, size, end), the kinds being those of ``Pattern.begins``. Linear: each word is looked at once.

    The end is that of the row of digits. The size is the number of digits in the row that begins
    there; for A and M, of letters before the first digit.
    """
    end = 0
    while found := DIGIT.search(text, end):
        start = found.start()
        while start > end and text[start - 1].isascii() and text[start - 1].isalnum():
            start -= 1
        row = ROW.match(text, found.start())
        assert row
        digits, last = len(NOT_DIGITS.sub("", row[0])), row.end()
        yield from _before(text, start, end, digits, last)
        if start == found.start():
            yield "9", start, digits, last
        else:
            yield "A", start, found.start() - start, last
        end = WORD.match(text, start).end()  # type: ignore[union-attr]


def _before(text: str, start: int, end: int, digits: int, row: int) -> Iterator[Anchor]:
    last = text[start - 1 : start]
    if last in SIGNS and start > end:
        yield last, start - 1, digits, row
        if last == "(" and text[start - 2 : start - 1] == "+" and start - 1 > end:
            yield "+", start - 2, digits, row
    elif last in GAPS:
        near = text[max(end, start - BEFORE) : start]
        word = WORD_BEFORE.search(near)
        position = start - len(near) + word.start() if word else 0
        if word is None or (position and text[position - 1].isalnum()):
            return
        if len(word[0]) <= SHORT:
            yield "A", position, len(word[0]), row
        if word[0][:3].lower() in MONTHS:
            yield "M", position, len(word[0]), row
