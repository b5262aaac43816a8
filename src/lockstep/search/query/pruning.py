"""Which records are worth scoring: those with a rare word of the query, or with two of its less rare ones.

A document that holds only the most frequent words cannot outrank one that holds the rare ones, so it need not be
read. What to fetch is said in one tsquery, which GIN answers without touching the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lockstep.search.query.sql import any_of, quoted

__all__ = ["Fetch", "Term", "rare_first"]

ALONE = 1_000
"""Records that words fetch alone, the rarest first."""
TOGETHER = 1_500
"""Records that words may fetch alone and in pairs. Of 100,000 documents of 66 words and queries of 3 to 8, this
finds 99 % of the ten best of all matches in half the time that rare words alone take for it."""
TOO_FEW = 200
"""Records below which a search by pairs may miss what is good: then words fetch alone up to ``WIDELY``."""
WIDELY = 5_000
COMMON = 0.1
"""Share of records in which a word is too common to make a pair."""
LINKED = 1.5
"""How much oftener the words of one query stand together than by chance."""


@dataclass(frozen=True, slots=True)
class Term:
    """A lexeme of the query."""

    lexeme: str
    df: int
    """Records that contain it, as far as anybody counted."""
    weight: float
    """idf, times how often the query says it."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """The records that are scored."""

    match: str
    """tsquery text."""
    expected: float
    """How many records that may be."""


def rare_first(terms: Sequence[Term], total: int | None) -> Fetch | None:
    """What to fetch for these terms of rising frequency; None when any of them will do.

    Args:
        total: all records; None when nobody has counted.
    """
    alone = _alone(terms, ALONE)
    if alone == len(terms) or not total:
        return None
    words = [quoted(term.lexeme) for term in terms[:alone]]
    expected = float(sum(term.df for term in terms[:alone]))
    for number in range(alone, len(terms)):
        term = terms[number]
        company = [other for other in terms[number + 1 :] if other.df <= COMMON * total]
        more = LINKED * term.df * (1 - math.prod(1 - other.df / total for other in company))
        if not company or expected + more > TOGETHER:
            break
        words.append(f"{quoted(term.lexeme)} & ({any_of(*(quoted(other.lexeme) for other in company))})")
        expected += more
    if expected >= TOO_FEW:
        return Fetch(any_of(*words), expected)
    alone = max(1, _alone(terms, WIDELY))
    if alone == len(terms):
        return None
    chosen = terms[:alone]
    return Fetch(any_of(*(quoted(term.lexeme) for term in chosen)), float(sum(term.df for term in chosen)))


def _alone(terms: Sequence[Term], room: int) -> int:
    """How many of the rarest terms stand in no more than ``room`` records together."""
    for number, term in enumerate(terms):
        room -= term.df
        if room < 0:
            return number
    return len(terms)
