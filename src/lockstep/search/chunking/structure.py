"""The segments of a text: headings, paragraphs, list items, table rows and lines of code.

Plain text, Markdown and wiki text; blocks of HTML on one line are told apart with the sentences.
"""
# ruff: noqa: RUF001 -- the punctuation of many scripts is the point

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, IntEnum, auto
from typing import NamedTuple

__all__ = ["Break", "Kind", "Segment", "segments", "with_ends"]


class Break(IntEnum):
    """How well a text may be cut before a place; between sections best."""

    GLUED = 0
    WORD = 1
    SENTENCE = 2
    LINE = 3
    PARAGRAPH = 4
    HEADING = 5


class Kind(Enum):
    """What a segment is."""

    HEADING = auto()
    TEXT = auto()
    """A paragraph: lines that go on until an empty one, or one that ends like a paragraph."""
    ITEM = auto()
    """An item of a list, with the lines that belong to it."""
    ROW = auto()
    """One line of code or of a table: it has no sentences and goes on nowhere."""


class Segment(NamedTuple):
    """A segment reaches from its start to the start of the next one."""

    start: int
    kind: Kind
    before: Break
    leads: bool = False
    """Whether it belongs to what follows: a heading, a title, "as follows:"."""


LINE = re.compile(r"[^\r\n\f\u2028\u2029]*(?:\r\n|[\r\n\f\u2028\u2029]|\Z)")
FENCE = re.compile(r"`{3,}|~{3,}")
HEADING = re.compile(r"#{1,6}(?:\s|\Z)|(?:= ?){1,6}[^=\s][^=]*(?:= ?){1,6}\Z")
UNDERLINE = re.compile(r"(?:={2,}|-{2,}|~{2,}|\^{2,})\Z")
ITEM = re.compile(r"(?:[-*+•‣◦–]|\(?[0-9]{1,3}[.)]|\(?[a-z]\))\s")
RULED = frozenset("|:-+ ")
CLOSING = "\"'”’»)]*_"
ENDS = frozenset(".!?…:。！？।؟۔")
#: A line longer than this was not wrapped by hand: its end is the end of a paragraph.
WRAPPED = 100
#: A paragraph of one line no longer than this, that does not end like a sentence, is a title.
TITLE = 80


def segments(text: str) -> Iterator[Segment]:
    """The segments of a text in order, the first from 0 on; none when there is only space."""
    reader = _Reader()
    for match in LINE.finditer(text):
        yield from reader.read(match.start(), match[0].strip())
    yield from reader.finish()


def with_ends(found: Iterable[Segment], end: int) -> Iterator[tuple[Segment, int]]:
    """Each segment with the place where it ends."""
    held: Segment | None = None
    for segment in found:
        if held:
            yield held, segment.start
        held = segment
    if held:
        yield held, end


class _Reader:
    """Reads line by line and holds the last segment back until it is known what its lines make."""

    def __init__(self) -> None:
        self.held: Segment | None = None
        self.lines = 0
        self.last = ""
        self.blank = True
        self.fence = ""

    def read(self, start: int, line: str) -> Iterator[Segment]:
        """Take the next line, without space around it."""
        if not line:
            self.blank = self.blank or not self.fence
        elif self._underlined(line):
            self._make_heading()
        else:
            segment = self._code(start, line) if self.fence else self._begun(start, line)
            if segment:
                yield from self.finish()
                self.held = segment if self.held else segment._replace(start=0)
                self.lines = 0
            self.lines += 1
            self.last, self.blank = line, False

    def finish(self) -> Iterator[Segment]:
        if self.held:
            announces = self.last.endswith(":") or (self.blank and self.lines == 1 and _is_title(self.last))
            yield self.held._replace(leads=True) if self.held.kind is Kind.TEXT and announces else self.held

    def _begun(self, start: int, line: str) -> Segment | None:
        """The segment that a line begins; None when the held one goes on."""
        before = Break.PARAGRAPH if self.blank else Break.LINE
        fence = FENCE.match(line)
        if fence:
            self.fence = fence[0]
            return Segment(start, Kind.ROW, before, leads=True)
        if HEADING.match(line):
            return Segment(start, Kind.HEADING, Break.HEADING, leads=True)
        if line.startswith("|") or " | " in line:
            ruled = RULED.issuperset(line)
            return Segment(start, Kind.ROW, Break.GLUED if ruled else before, leads=ruled)
        if ITEM.match(line):
            return Segment(start, Kind.ITEM, before)
        return None if self._goes_on() else Segment(start, Kind.TEXT, before)

    def _code(self, start: int, line: str) -> Segment:
        if line.startswith(self.fence) and not line.strip(self.fence[0]):
            self.fence = ""
            return Segment(start, Kind.ROW, Break.GLUED)
        return Segment(start, Kind.ROW, Break.LINE)

    def _goes_on(self) -> bool:
        """Whether a line of text belongs to the paragraph or item before it: that was wrapped by hand."""
        if self.held is None or self.blank or self.held.kind not in (Kind.TEXT, Kind.ITEM):
            return False
        return len(self.last) <= WRAPPED and self.last.rstrip(CLOSING)[-1:] not in ENDS

    def _underlined(self, line: str) -> bool:
        """Whether a line of dashes or the like makes the paragraph of one line above it a heading."""
        if not UNDERLINE.match(line) or self.fence or self.blank or self.lines != 1:
            return False
        return self.held is not None and self.held.kind is Kind.TEXT and len(self.last) <= WRAPPED

    def _make_heading(self) -> None:
        if self.held:
            self.held = self.held._replace(kind=Kind.HEADING, before=Break.HEADING, leads=True)


def _is_title(line: str) -> bool:
    return len(line) <= TITLE and line.rstrip(CLOSING)[-1:] not in ENDS
