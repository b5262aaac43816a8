"""One spelling for what looks the same, with the way back to the original text.

Each character for itself: compatibility forms (full-width digits, ligatures) by NFKC, digits of other scripts as
ASCII, every dash as ``-``, every space as a blank; what takes no room (zero-width, soft hyphen, direction marks,
variation selectors) goes. No character changes what another becomes, so pieces of a stream become what the whole does.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Normalised", "normalise"]

INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Take no room, although Unicode counts them as letters or marks."""
QUOTES = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201b": "'",
    "\u02bc": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2212": "-",
}


class _Spellings(dict[str, str]):
    """Character -> its one spelling, filled as texts bring them."""

    def __missing__(self, character: str) -> str:
        found = self[character] = _spelling(character)
        return found


def _spelling(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or character in INVISIBLE or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    return QUOTES.get(character) or unicodedata.normalize("NFKC", character)


SPELLINGS = _Spellings()


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text to look through, and where each of its characters comes from."""

    text: str
    origins: list[int] | None = None
    """Position in the original of each character, and the original's length at the end; None: the same positions."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The piece of the original that ``text[start:end]`` stands for. Whole characters: of a ligature, all of it."""
        if self.origins is None or start >= end:
            return start, end
        last = self.origins[end - 1]
        return self.origins[start], last + 1


def normalise(text: str) -> Normalised:
    if text.isascii():
        return Normalised(text)
    pieces = [SPELLINGS[character] for character in text]
    spelled = "".join(pieces)
    if len(spelled) == len(text) and all(pieces):
        return Normalised(spelled)  # each became exactly one
    starts = accumulate((len(piece) for piece in pieces), initial=0)
    origins = [0] * (len(spelled) + 1)
    for position, (start, piece) in enumerate(zip(starts, pieces, strict=False)):
        origins[start : start + len(piece)] = [position] * len(piece)
    origins[len(spelled)] = len(text)
    return Normalised(spelled, origins)
