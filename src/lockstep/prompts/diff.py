"""What changed between two texts, line by line and, inside a changed line, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

__all__ = ["Line", "Side", "compare"]

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
WORK = 1_000_000
"""Pairs of words that one comparison looks at; lines beyond are marked as a whole. Repeated words cost difflib the
cube of their number: 400 lines of 960 of them took more than ten minutes."""
CONTEXT = 3


@dataclass(frozen=True)
class Side:
    """One side of a line: its number, and its text in ``(changed, text)`` pieces."""

    number: int
    pieces: tuple[tuple[bool, str], ...]


@dataclass(frozen=True)
class Line:
    """A row of the comparison. ``kind`` is same, changed, added, removed or skipped."""

    kind: str
    old: Side | None = None
    new: Side | None = None
    skipped: int = 0


def compare(old: str, new: str, *, whole: bool = False) -> list[Line]:
    """Rows that lead from ``old`` to ``new``; long stretches without a change are folded unless ``whole``."""
    before, after = old.splitlines(), new.splitlines()
    work = _Work(WORK)
    matcher = SequenceMatcher(None, before, after, autojunk=True)
    rows: list[Line] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            same = [
                Line("same", _side(i + n, before[i + n]), _side(j + n, after[j + n]))
                for n in range(i_end - i)
            ]
            rows += (
                same
                if whole
                else _folded(same, first=i == 0, last=i_end == len(before) and j_end == len(after))
            )
        else:
            rows += _changed(before, after, range(i, i_end), range(j, j_end), work)
    return rows


def _folded(same: list[Line], *, first: bool, last: bool) -> list[Line]:
    head, tail = (0 if first else CONTEXT), (0 if last else CONTEXT)
    hidden = len(same) - head - tail
    if hidden < 4:
        return same
    return [*same[:head], Line("skipped", skipped=hidden), *same[len(same) - tail :]]


@dataclass
class _Work:
    left: int


def _changed(before: list[str], after: list[str], olds: range, news: range, work: _Work) -> Iterator[Line]:
    pairs = min(len(olds), len(news))
    for n in range(pairs):
        old, new = _pieces(before[olds[n]], after[news[n]], work)
        yield Line("changed", Side(olds[n] + 1, old), Side(news[n] + 1, new))
    for i in olds[pairs:]:
        yield Line("removed", old=_side(i, before[i]))
    for j in news[pairs:]:
        yield Line("added", new=_side(j, after[j]))


def _side(index: int, text: str) -> Side:
    return Side(index + 1, ((False, text),))


def _pieces(
    old: str, new: str, work: _Work
) -> tuple[tuple[tuple[bool, str], ...], tuple[tuple[bool, str], ...]]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    if len(a) * len(b) > work.left:
        return ((True, old),), ((True, new),)
    work.left -= len(a) * len(b)
    left, right = [], []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, a, b).get_opcodes():
        left.append((tag != "equal", "".join(a[i:i_end])))
        right.append((tag != "equal", "".join(b[j:j_end])))
    return tuple(piece for piece in left if piece[1]), tuple(piece for piece in right if piece[1])
