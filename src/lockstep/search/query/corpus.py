"""Where the legs of a search read: the siblings of an index, or columns of the model's own."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Corpus"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tables and columns of one searched model, unquoted. Picklable: it names everything by text."""

    label: str
    """Name of the index for statistics; empty where a model brings its own columns."""
    config: str
    """Text-search configuration."""
    embedder: str
    """Alias of the embedder of queries."""
    record: str
    """Table of the searched model."""
    document: str
    """Table that the word legs read."""
    document_key: str
    """Its column that holds the record's primary key."""
    tsv: str
    length: str
    """Column with the number of words; empty where there is none."""
    identified: bool
    """Whether the document table has identifiers and trigrams."""
    vectors: str | None
    """Table that the dense leg reads; None where its vectors are of another model than the settings name."""
    vectors_key: str
    embedding: str
    kind: str
    """SQL type of the vectors without dimensions: halfvec or vector."""
    dimensions: int
    chunked: bool
    """Whether a record may have several vectors; only those with a digest are in step."""
    space: str
    """Key of the embedding space; empty where nobody knows."""
