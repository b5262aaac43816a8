"""The pattern pack as a detector."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from lockstep.privacy.detectors.anchors import anchors
from lockstep.privacy.patterns import PAIR, PATTERNS, VERSION, Pattern
from lockstep.privacy.patterns.pattern import OPAQUE, UNLABELLED
from lockstep.privacy.placeholders import TAKEN
from lockstep.privacy.spans import Span, united

__all__ = ["Pack"]

ANY, ANY_SIZE = 1_000_000, 64
PLACE = attrgetter("start", "end")
WORDS = re.compile(r"[a-z_]{1,15}(?:: [a-z_]{1,15})?")
"""A key of JSON, or one with a word as its value: half of the texts in a call, and too short for a secret."""
CONTEXT = 160
"""How much of the text before a value is made ready for its labels."""
TYPES = frozenset(pattern.type for pattern in PATTERNS)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece with the right form; whether it counts may depend on the words near it."""

    start: int
    end: int
    pattern: Pattern


Row = tuple[tuple[str, ...], Callable[[str, int], "re.Match[str] | None"], Pattern]
"""A pattern made ready: stems, its match."""


class Pack:
    """Identifiers by form, check digit and the words beside them.

    Args:
        types: only these; None takes all.
        without: all but these: ``["URL"]``.

    Raises:
        ValueError: a type is unknown.
    """

    version = f"pack:{VERSION}"
    reach: int | None = 192

    def __init__(self, types: Iterable[str] | None = None, without: Iterable[str] = ()) -> None:
        chosen = set(TYPES if types is None else types) - set(without)
        for name in sorted((chosen | set(without)) - TYPES):
            raise ValueError(f"The pack has no type {name!r}. It has {', '.join(sorted(TYPES))}.")
        patterns = [pattern for pattern in PATTERNS if pattern.type in chosen]
        self._anywhere = [pattern for pattern in patterns if pattern.needs]
        self._beginning = {
            kind: [
                _row(pattern, kind) for pattern in patterns if kind in pattern.begins and not pattern.needs
            ]
            for kind in "9AM+("
        }
        self._by_size: dict[tuple[str, int], Sequence[Row]] = {}

    def find(self, text: str) -> list[Span]:
        if WORDS.fullmatch(text):
            return []
        candidates = sorted(self._candidates(text), key=PLACE)
        if not candidates:
            return []
        return united(_judged(candidates, text, [found.span() for found in TAKEN.finditer(text)]))

    def forms(self, text: str) -> list[tuple[int, int]]:
        """Everything that has the form of a finding, whether or not a label is near."""
        forms = [(one.start, one.end) for one in self._candidates(text)]
        return forms + [found.span() for found in PAIR.finditer(text)]

    def _candidates(self, text: str) -> Iterator[Candidate]:
        lowered = text.lower()
        for pattern in self._anywhere:
            if _has(lowered, pattern.needs):
                for start, end in pattern.anywhere(text):
                    yield Candidate(start, end, pattern)
        named: dict[tuple[str, ...], bool] = {(): True}
        covered = 0
        for kind, start, size, row in anchors(text):
            if kind == "9" and row <= covered:
                continue  # inside a value that needs no label
            for stems, match, pattern in self._fitting(kind, size):
                if stems not in named:  # without a piece of its labels in the text it cannot count
                    named[stems] = _has(lowered, stems)
                if named[stems] and (found := match(text, start)):
                    for end in pattern.ends(found):
                        yield Candidate(start, end, pattern)
                        if not pattern.labels:
                            covered = max(covered, end)

    def _fitting(self, kind: str, size: int) -> Sequence[Row]:
        """The patterns that a word with so many digits, or letters before them, may begin."""
        known = self._by_size.get((kind, size))
        if known is None:
            known = [row for least, most, row in self._beginning[kind] if least <= size <= most]
            if size < ANY_SIZE:
                self._by_size[kind, size] = known
        return known


def _has(text: str, pieces: Iterable[str]) -> bool:
    for piece in pieces:  # noqa: SIM110  (a generator would take twice as long)
        if piece in text:
            return True
    return False


def _row(pattern: Pattern, kind: str) -> tuple[int, int, Row]:
    """Digits, or letters, that must stand there at least and may at most; and the pattern."""
    least, most = pattern.letters if kind in "AM" else (pattern.least, ANY)
    return least, most, (pattern.stems, pattern.regex.match, pattern)


def _judged(candidates: Sequence[Candidate], text: str, taken: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Those that count, from left to right: what was accepted before is one character to the labels that follow, as its
    placeholder will be when the redacted text is redacted again."""
    opaque: list[tuple[int, int]] = []
    waiting = deque(taken)
    for one in candidates:
        while waiting and waiting[0][1] <= one.start:
            opaque.append(waiting.popleft())
        if waiting and waiting[0][0] < one.end:
            continue
        distance = _distance(one, text, opaque)
        if distance is None:
            continue
        yield Span(one.start, one.end, one.pattern.type, one.pattern.sure, distance)
        if opaque and one.start < opaque[-1][1]:
            opaque[-1] = (opaque[-1][0], max(opaque[-1][1], one.end))
        else:
            opaque.append((one.start, one.end))


def _distance(one: Candidate, text: str, opaque: Sequence[tuple[int, int]]) -> int | None:
    if not (one.pattern.label or one.pattern.unless):
        return UNLABELLED
    return one.pattern.label_distance(
        _before(text, one.start, opaque).lower(), text[one.end : one.end + CONTEXT].lower()
    )


def _before(text: str, end: int, opaque: Sequence[tuple[int, int]]) -> str:
    """What stands before ``end``, with one character for each finding and placeholder."""
    pieces: list[str] = []
    size, position = 0, len(opaque) - 1
    while size < CONTEXT and end > 0:
        start, stop = opaque[position] if position >= 0 else (0, 0)
        position -= 1
        if stop > end:
            continue  # the value itself is part of it
        piece = text[max(stop, end - CONTEXT + size) : end]
        pieces.append(piece)
        size += len(piece) + 1
        if stop:
            pieces.append(OPAQUE)
        end = start
    return "".join(reversed(pieces))[-CONTEXT:]
