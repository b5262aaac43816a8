"""What people type, taken apart: quoted phrases must match, ``-word`` excludes, the rest is searched."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["HAS_DIGIT", "MAX_QUERY_CHARACTERS", "QUANTITY", "Candidate", "ParsedQuery", "candidates", "parse"]

MAX_QUERY_CHARACTERS = 4_000
"""A query is read this far: longer ones are pasted documents, whose first pages say what they are about."""
MAX_DEMANDS = 8
"""Phrases, and likewise exclusions, that are obeyed."""

MAX_WORDS = 32
"""Words of a query that are looked up as identifiers."""
MAX_CANDIDATES = 64
LONGEST_JOIN = 5
"""A code that somebody spaced out has at most so many pieces."""
MAX_IDENTIFIER_LENGTH = 64

QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"'})
# A quotation mark opens only where a word begins and closes only where one ends: 17" is a size in inches.
PHRASE = re.compile(r'(?<![^\s(])(-?)"([^"]+)"(?!\w)')
EXCLUDED = re.compile(r"(?<!\S)-([^\W\d_]\S*)")
CODE = re.compile(r"\d|\w_\w|\w&\w|\w[+#]{1,2}$|^\.\w")
HAS_DIGIT = re.compile(r"\d")
SEPARATORS = re.compile(r"[\W_]+")
# "250 GB", "17 inch", "2nd": as common in texts as words, and no more an identifier than they are.
QUANTITY = re.compile(
    r"\d+(?:st|nd|rd|th|s|x|k|p|[kmgt]i?b|[kmg]?hz|[mck]?m|[cm]?l|k?g|mg|oz|lbs?|ft|in|inch|[km]?wh?|m?ah?|k?v|mp|px|pcs?|"
    r"min|h|hrs?|days?|years?|%)"
)
EDGES = "\"'`()[]{}<>,;!?=|.:*~^"


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query without its operators."""

    text: str
    """Words to rank by, phrases included, exclusions left out."""
    phrases: tuple[str, ...] = ()
    """Each must stand in the record."""
    excluded: tuple[str, ...] = ()
    """None of these may stand in the record."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing in it can be looked for: no letter, digit or pictogram."""
        return not any(
            unicodedata.category(character)[0] in "LN" or character >= "\u2190" for character in self.text
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run of characters of the query that may be an identifier."""

    text: str
    whole: bool
    """Whether it is all that was typed."""
    coded: bool
    """Whether it looks like a code: a digit, ERR_IO, AT&T, C++. Hyphens and slashes join ordinary words."""
    joined: bool
    """Whether it is made of several words."""
    piece: bool = False
    """Whether it is only a part of a word."""


def parse(query: str) -> ParsedQuery:
    """Take a query apart. What PostgreSQL cannot hold (NUL, half characters) is dropped.

    A minus excludes only before a letter: ``XR -2000`` is a part number that somebody spaced out.
    """
    clean = query[:MAX_QUERY_CHARACTERS].encode(errors="ignore").decode()
    clean = "".join(" " if unicodedata.category(c) == "Cc" else c for c in clean).translate(QUOTES)
    phrases: list[str] = []
    excluded: list[str] = []

    def take(match: re.Match[str]) -> str:
        minus, phrase = match[1], match[2].strip()
        if not minus:
            phrases.append(phrase)
            return f" {phrase} "
        if phrase[:1].isalpha():
            excluded.append(phrase)
            return " "
        return f" {phrase} "

    def leave(match: re.Match[str]) -> str:
        excluded.append(match[1])
        return " "

    # Exclusions first where no phrase stands: a minus inside quotation marks is part of the phrase.
    parts = _outside(clean)
    text = "".join(
        EXCLUDED.sub(leave, part) if outside else PHRASE.sub(take, part) for part, outside in parts
    )
    return ParsedQuery(
        " ".join(text.split()),
        tuple(phrase for phrase in phrases if phrase)[:MAX_DEMANDS],
        tuple(excluded)[:MAX_DEMANDS],
    )


def _outside(text: str) -> Iterator[tuple[str, bool]]:
    """(part, whether it stands outside of quotation marks), in order."""
    at = 0
    for match in PHRASE.finditer(text):
        yield text[at : match.start()], True
        yield match[0], False
        at = match.end()
    yield text[at:], True


def candidates(text: str) -> tuple[Candidate, ...]:
    """What of a query may be an identifier: its words, joins of neighbours, and the pieces of its codes."""
    words = [word for word in (word.strip(EDGES) or word for word in text.split()) if word][:MAX_WORDS]
    found: dict[str, Candidate] = {}
    for candidate in _runs(words):
        if 0 < len(candidate.text) <= 2 * MAX_IDENTIFIER_LENGTH:
            found.setdefault(candidate.text, candidate)
    return tuple(found.values())[:MAX_CANDIDATES]


def _runs(words: list[str]) -> Iterator[Candidate]:
    digits = [bool(HAS_DIGIT.search(word)) for word in words]
    if len(words) <= LONGEST_JOIN:
        whole = "".join(words)
        yield Candidate(whole, True, bool(CODE.search(whole)), len(words) > 1)
    for word in words:
        yield Candidate(word, len(words) == 1, bool(CODE.search(word)), False)
    for length in range(2, LONGEST_JOIN + 1):
        for start in range(len(words) - length + 1):
            coded = any(digits[start : start + length])
            if coded or len(words) <= LONGEST_JOIN:  # a name of several words is typed alone, or nearly
                yield Candidate("".join(words[start : start + length]), length == len(words), coded, True)
    for word, coded in zip(words, digits, strict=True):
        pieces = [piece for piece in SEPARATORS.split(word) if piece][:6] if coded else []
        for length in range(len(pieces) - 1, 0, -1):
            for start in range(len(pieces) - length + 1):
                piece = "".join(pieces[start : start + length])
                if HAS_DIGIT.search(piece):
                    yield Candidate(piece, False, True, False, piece=True)
