"""Values that are known of the people a request is about: the names that no pattern can tell.

A text is read word by word (a run of letters or of digits); a value matches when the same letters and digits follow
each other, whatever their case, accents and separators. One look-up a word: thousands of values cost no more than one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lockstep.privacy.spans import Span, united

__all__ = ["AMBIGUOUS", "Identities", "Term"]

WORD = re.compile(r"(?:[^\W\d_][\u0300-\u036f]*)+|\d+")
GAP = 4
"""So many characters may stand between the words of a value: ``O'Brien``, ``Evans, Margaret``, ``07700 - 900``."""
LEAST_LETTERS, LEAST_DIGITS = 3, 4
"""A shorter value says nothing about a person: it is taken only beside another value of the same object."""
FOLDED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)
AMBIGUOUS = frozenset(
    [
        "april", "archer", "art", "august", "autumn", "baker", "bell", "best", "bill", "black", "brook", "brown",
        "bush", "carter", "case", "chance", "chase", "church", "cook", "cross", "day", "dean", "dawn", "drew",
        "earl", "faith", "field", "ford", "frank", "gene", "grace", "grant", "gray", "green", "grey", "guy", "hall",
        "hill", "hope", "hunter", "iris", "ivy", "jack", "jade", "joy", "june", "king", "knight", "lane", "little",
        "long", "love", "major", "mark", "mason", "may", "miles", "mill", "miller", "misty", "moss", "page", "pat",
        "park", "parker", "pearl", "penny", "piper", "potter", "price", "ray", "rich", "rob", "robin", "rose",
        "ruby", "rusty", "sage", "short", "singer", "small", "smart", "star", "sue", "summer", "sunny", "taylor",
        "turner", "violet", "walker", "ward", "west", "white", "will", "wood", "woods", "young",
    ]
)  # fmt: skip
"""English words that are names too: found where they are written with a capital, or in full capitals."""


@dataclass(frozen=True, slots=True)
class Term:
    """A value to look for, and the type of its placeholder."""

    text: str
    type: str


@dataclass(frozen=True, slots=True)
class Known:
    """How one row of letters and digits may be written."""

    type: str
    breaks: frozenset[int]
    """Where a word may end inside it, counted in folded characters; None of them has to."""
    capital: bool
    """Only with a capital: the word means something else too."""


class Identities:
    """Finds the given values. Made for one call, or kept for many."""

    version = "identities:1"

    def __init__(self, terms: Iterable[Term]) -> None:
        self._known: dict[str, Known] = {}
        self._begun: set[str] = set()
        longest = 0
        for term in terms:
            words = [fold(word) for word in WORD.findall(term.text)]
            whole = "".join(words)
            if not _distinctive(whole, len(words)):
                continue
            longest = max(longest, len(whole))
            self._add(whole, words, term.type)
        self.reach: int | None = longest * (GAP + 1) + GAP

    def __len__(self) -> int:
        return len(self._known)

    def _add(self, whole: str, words: list[str], kind: str) -> None:
        breaks, position = set(), 0
        for word in words[:-1]:
            position += len(word)
            breaks.add(position)
        before = self._known.get(whole)
        if before:
            kind, breaks = before.type, breaks | before.breaks
        self._known[whole] = Known(kind, frozenset(breaks), len(words) == 1 and whole in AMBIGUOUS)
        self._begun.update(whole[:size] for size in range(1, len(whole)))

    def find(self, text: str) -> list[Span]:
        if not self._known:
            return []
        folded = fold if not text.isascii() else str.lower
        spans = []
        for found in WORD.finditer(text):
            word = folded(found[0])
            if (word in self._begun or word in self._known) and (span := self._longest(text, found, folded)):
                spans.append(span)
        return united(spans)

    def _longest(self, text: str, first: re.Match[str], folded: Callable[[str], str]) -> Span | None:
        """The longest value that begins with this word."""
        start, end = first.span()
        row = folded(first[0])
        best: Span | None = None
        breaks: set[int] = set()
        while True:
            known = self._known.get(row)
            if known and self._fits(known, row, breaks, text[start:end]):
                best = Span(start, end, known.type, validated=True, distance=0)
            following = WORD.search(text, end) if row in self._begun else None
            if following is None or following.start() - end > GAP:
                return best
            breaks.add(len(row))
            end, row = following.end(), row + folded(following[0])

    @staticmethod
    def _fits(known: Known, row: str, breaks: set[int], written: str) -> bool:
        """Whether it is written as one writes it: no word falls apart, unless into characters or among digits."""
        if known.capital and not written[0].isupper():
            return False
        if breaks <= known.breaks or len(breaks) == len(row) - 1:
            return True
        return all(row[at - 1].isdigit() or row[at].isdigit() for at in breaks - known.breaks)


def fold(word: str) -> str:
    """Without case and accents."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).translate(FOLDED)


def _distinctive(whole: str, words: int) -> bool:
    if whole.isdigit():
        return len(whole) >= LEAST_DIGITS
    return len(whole) >= (LEAST_LETTERS if words == 1 else LEAST_LETTERS + 1)


def name_parts(name: str) -> Iterator[str]:
    """The words of a person's name that point at them on their own."""
    for word in re.split(r"[\s,]+", name):
        if len(WORD.findall(word)) and fold(word) not in PARTICLES:
            yield word


PARTICLES = frozenset(
    [
        "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "dame", "lord", "lady", "rev", "van", "von", "der",
        "den", "del", "dos", "das", "bin", "ibn", "saint", "the", "and",
    ]
)  # fmt: skip
"""Titles and particles of names."""
