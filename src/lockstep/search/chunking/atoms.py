"""What a chunk is made of: sentences, short segments, and pieces of what is too long."""
# ruff: noqa: RUF001 -- the punctuation of many scripts is the point

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from lockstep.search.chunking.ruler import Ruler
from lockstep.search.chunking.structure import Break, Kind, Segment, segments, with_ends

__all__ = ["Atom", "atoms", "cut_before"]


class Atom(NamedTuple):
    """A span that is not cut further. Atoms follow each other without a gap."""

    start: int
    end: int
    tokens: int
    before: Break


#: The end of a sentence and the space after it. Possessive, and looking behind, so that no text of dots or
#: spaces takes more than linear time.
SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+\s++"""
    r"""|[。！？｡]++[」』”’）]*+\s*+|[।॥؟۔։።။]++\s*+"""
    r"""|</(?:p|div|li|h[1-6]|tr|blockquote)>\s*+|<br\s?/?>\s*+"""
)
ABBREVIATIONS = frozenset(
    """
    al approx art ca cf ch co corp dept dr ed eds eg eq etc ex fig figs gen gov ie inc jr ltd mr mrs ms mt
    no nos nr op pp prof rev sec sect sen sr st str vol vols vs bzw usw bzgl abb mme mlle
    """.split()  # noqa: SIM905
)
WORD_BEFORE = re.compile(r"[^\W_]+\Z")
LONGEST_ABBREVIATION = 12
#: A mark belongs to the letter before it, but a thousand marks are no letter.
MOST_MARKS = 32
#: Combining class of the signs that join two consonants of an Indic script.
VIRAMA = 9
SEPARATORS = ("\n", "; ", ", ", " ", "，", "、")


def atoms(text: str, ruler: Ruler, *, budget: int, piece: int) -> Iterator[Atom]:
    """Everything in ``text``, in order.

    Args:
        ruler: of the same text.
        budget: most tokens of an atom.
        piece: most tokens of each part of a sentence or line that exceeds the budget.
    """
    leads = False
    for segment, end in with_ends(segments(text), len(text)):
        before = Break.GLUED if leads else segment.before
        for start, stop in _sentences(text, segment, end):
            tokens = ruler.count(start, stop)
            if tokens <= budget:
                yield Atom(start, stop, tokens, before)
            else:
                yield from _pieces(text, ruler, start, stop, piece, before)
            before = Break.SENTENCE
        leads = segment.leads


def _sentences(text: str, segment: Segment, end: int) -> Iterator[tuple[int, int]]:
    start = segment.start
    if segment.kind in (Kind.TEXT, Kind.ITEM):
        for match in SENTENCE_END.finditer(text, start, end):
            if match.end() < end and _ends_sentence(text, start, match):
                yield start, match.end()
                start = match.end()
    yield start, end


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Not after an initial ("J. Smith"), an abbreviation, or the number of a list item."""
    if match[0].rstrip() != ".":
        return True
    word = WORD_BEFORE.search(text, max(start, match.start() - LONGEST_ABBREVIATION), match.start())
    if not word:
        return True
    if word[0].isdecimal():  # a year ends a sentence, "2." at its beginning does not
        return word.start() - start > LONGEST_ABBREVIATION or bool(text[start : word.start()].strip())
    return len(word[0]) > 1 and word[0].casefold() not in ABBREVIATIONS


def _pieces(text: str, ruler: Ruler, start: int, end: int, most: int, before: Break) -> Iterator[Atom]:
    """Cut what is too long, between words if there are any."""
    while start < end:
        whole = ruler.count(start, end) <= most
        stop = end if whole else cut_before(text, start, ruler.after(start, most), end)
        yield Atom(start, stop, ruler.count(start, stop), before)
        start, before = stop, Break.WORD


def cut_before(text: str, start: int, limit: int, end: int) -> int:
    """The best place to cut ``text[start:end]`` not far before ``limit``, and always after ``start``:
    in the second half, after a line, a clause or a word; else at least between characters."""
    low = start + (limit - start) // 2
    for separator in SEPARATORS:
        at = text.rfind(separator, low, limit)
        if at >= low:
            return at + len(separator)
    spaced = (at for at in range(limit, low, -1) if text[at - 1].isspace())
    return next(spaced, None) or _between_characters(text, start, limit, end)


def _between_characters(text: str, start: int, limit: int, end: int) -> int:
    for at in range(limit, max(start, limit - MOST_MARKS), -1):
        if not _inside_character(text, at):
            return at
    for at in range(limit + 1, min(end, limit + MOST_MARKS) + 1):
        if at == end or not _inside_character(text, at):
            return at
    return min(max(limit, start + 1), end)


def _inside_character(text: str, at: int) -> bool:
    """Whether a cut would part a letter from its marks, an emoji from its modifiers, or CR from LF."""
    if at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if before == "\u200d" or after in "\u200d\ufe0e\ufe0f" or (before == "\r" and after == "\n"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    if "\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff":
        return True
    return unicodedata.category(after)[0] == "M" or unicodedata.combining(before) == VIRAMA
