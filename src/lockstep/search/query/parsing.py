"""What people type, taken apart: quoted phrases must match, ``-word`` excludes, the rest is searched."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MAX_QUERY_CHARACTERS", "ParsedQuery", "parse"]

MAX_QUERY_CHARACTERS = 4_000
"""A query is read this far: longer ones are pasted documents, whose first pages say what they are about."""

PHRASE = re.compile(r'"([^"]+)"')
EXCLUDED = re.compile(r"(?:(?<=\s)|^)-([^\W\d_][\w'\u2019-]*)")


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
        return not self.text


def parse(query: str) -> ParsedQuery:
    """Take a query apart. What PostgreSQL cannot hold (NUL, half characters) is dropped.

    A minus excludes only before a letter: ``XR -2000`` is a part number that somebody spaced out.
    """
    clean = query[:MAX_QUERY_CHARACTERS].replace("\x00", " ").encode(errors="ignore").decode()
    excluded = tuple(EXCLUDED.findall(PHRASE.sub(" ", clean)))
    phrases = tuple(phrase.strip() for phrase in PHRASE.findall(clean) if phrase.strip())
    kept = "".join(
        part if number % 2 else EXCLUDED.sub(" ", part) for number, part in enumerate(PHRASE.split(clean))
    )
    return ParsedQuery(" ".join(kept.split()), phrases, excluded)
