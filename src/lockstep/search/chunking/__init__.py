"""Cuts a text into chunks that an embedder can read, along the structure of the text.

Sections, paragraphs, list items, table rows and lines of code first, then sentences, then words; what
belongs together (a heading and what follows it) stays together. Every chunk is a span of the text, so
that a citation can be shown where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from lockstep.search.chunking.atoms import atoms, cut_before
from lockstep.search.chunking.packing import packed
from lockstep.search.chunking.ruler import Ruler
from lockstep.search.embedders.base import Embedder

__all__ = ["CHUNKER", "Chunk", "Chunks", "chunk"]

#: Name of these rules. It is part of an embedding space: other rules, other name.
CHUNKER = "structure-v1"

#: A chunk is no longer than this even where the model reads more: one vector for too much text finds nothing.
MOST_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a text: ``text[start:end]``, without space around it."""

    no: int
    start: int
    end: int


class Chunks(list[Chunk]):
    """The chunks of a text in order."""

    truncated: bool = False
    """Whether text was left over when ``max_chunks`` was reached."""


def chunk(
    text: str,
    *,
    embedder: Embedder,
    max_tokens: int | None = None,
    overlap_tokens: int = 32,
    max_chunks: int = 1000,
) -> Chunks:
    """Cut a text into chunks that the embedder reads whole. Takes time linear in its length.

    Every character that is not space stands in at least one chunk, unless the result is ``truncated``.

    Args:
        text: plain text, Markdown, wiki text or simple HTML.
        embedder: counts the tokens; its prefix and special tokens are allowed for.
        max_tokens: of a chunk, prefix and special tokens included; None takes what the model reads, at
            most 512.
        overlap_tokens: sentences of up to this many tokens together are repeated from the chunk before,
            unless a new section begins.
        max_chunks: the rest of a longer text is left out.

    Raises:
        ValueError: ``max_tokens`` is so small that prefix and special tokens leave no room.
    """
    most = min(max_tokens or MOST_TOKENS, embedder.max_tokens)
    budget = most - embedder.count_tokens("")
    if budget < 1:
        raise ValueError(f"max_tokens={most} leaves no room for text beside prefix and special tokens.")
    overlap = min(overlap_tokens, budget // 4)
    piece = max(1, min(overlap or budget, budget // 4))
    ruler = Ruler(text, embedder.token_spans)
    spans = packed(atoms(text, ruler, budget=budget, piece=piece), budget=budget, overlap=overlap)
    return _numbered((part for span in spans for part in _fitting(text, *span, embedder, most)), max_chunks)


def _numbered(spans: Iterable[tuple[int, int]], max_chunks: int) -> Chunks:
    left = iter(spans)
    chunks = Chunks(Chunk(no, *span) for no, span in enumerate(islice(left, max_chunks)))
    chunks.truncated = next(left, None) is not None
    return chunks


def _fitting(text: str, start: int, end: int, embedder: Embedder, most: int) -> Iterator[tuple[int, int]]:
    """The span without space around it. One that is torn out of a word reads otherwise alone than within
    it: its tokens are counted again, and it is halved if they are too many."""
    start, end = _trimmed(text, start, end)
    if start == end:
        return
    torn = _inside_word(text, start) or _inside_word(text, end)
    if torn and embedder.count_tokens(text[start:end]) > most:
        middle = cut_before(text, start, (start + end + 1) // 2, end)
        if start < middle < end:
            yield from _fitting(text, start, middle, embedder, most)
            yield from _fitting(text, middle, end, embedder, most)
            return
    yield start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    kept = piece.strip()
    start += len(piece) - len(piece.lstrip()) if kept else 0
    return start, start + len(kept)


def _inside_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and not (text[at - 1].isspace() or text[at].isspace())
