"""From texts to vectors, paying for each text once: memory, then the vector table, then the embedder."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from lockstep.search.chunking import chunk
from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.declaration import text_key

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration, Document
    from lockstep.search.spaces import SpaceInfo

__all__ = ["Passage", "Split", "given", "literal", "obtain", "split"]

Packed = bytes
"""A vector as little-endian half floats: what a halfvec keeps of it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One chunk of a document, to be embedded."""

    no: int
    start: int
    end: int
    key: UUID


@dataclass(frozen=True, slots=True)
class Split:
    """A document cut into passages."""

    passages: tuple[Passage, ...]
    texts: Mapping[UUID, str]
    truncated: bool
    """Whether text beyond ``max_chunks`` was left unembedded."""


def split(index: Declaration, document: Document) -> Split:
    """Cut a document the way its space does. An empty text has no passages."""
    chunks = chunk(document.text, embedder=index.embedder, max_chunks=settings().max_chunks)
    passages, texts = [], {}
    for piece in chunks:
        text = document.text[piece.start : piece.end]
        key = text_key(text)
        texts[key] = text
        passages.append(Passage(piece.no, piece.start, piece.end, key))
    return Split(tuple(passages), texts, chunks.truncated)


class _Memory:
    """The vectors that this process embedded last, least recently used first out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vectors: OrderedDict[tuple[str, UUID], Packed] = OrderedDict()

    def get(self, space: str, keys: Sequence[UUID]) -> dict[UUID, Packed]:
        found = {}
        with self._lock:
            for key in keys:
                vector = self._vectors.get((space, key))
                if vector is not None:
                    self._vectors.move_to_end((space, key))
                    found[key] = vector
        return found

    def put(self, space: str, vectors: Mapping[UUID, Packed]) -> None:
        room = max(settings().vector_memory, len(vectors))
        with self._lock:
            for key, vector in vectors.items():
                self._vectors[space, key] = vector
                self._vectors.move_to_end((space, key))
            while len(self._vectors) > room:
                self._vectors.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._vectors.clear()


memory = _Memory()
_given: ContextVar[Mapping[tuple[str, UUID], Packed] | None] = ContextVar(
    "lockstep_given_vectors", default=None
)


@contextmanager
def given(vectors: Mapping[tuple[str, UUID], Packed]) -> Iterator[None]:
    """Hand vectors embedded beforehand to the writes of a block, however many they are."""
    token = _given.set({**(_given.get() or {}), **vectors})
    try:
        yield
    finally:
        _given.reset(token)


def obtain(
    index: Declaration, space: SpaceInfo, texts: Mapping[UUID, str], using: str, patient: bool = False
) -> dict[UUID, Packed]:
    """A vector for every text, from the cheapest place that has it.

    Raises:
        EmbedderError: the model could not give the rest; nothing has been written.
    """
    keys = list(texts)
    found = memory.get(space.key, keys)
    handed = _given.get() or {}
    found |= {key: handed[space.key, key] for key in keys if (space.key, key) in handed}
    if missing := [key for key in keys if key not in found]:
        found |= _stored(space, missing, using)
    if missing := [key for key in keys if key not in found]:
        timeout_s = _timeout_s(len(missing), hurried=not patient and _holds_locks(using))
        made = index.embedder.embed_documents([texts[key] for key in missing], timeout_s=timeout_s)
        fresh = {key: pack(vector) for key, vector in zip(missing, made, strict=True)}
        memory.put(space.key, fresh)
        found |= fresh
    return found


def _timeout_s(texts: int, *, hurried: bool) -> float:
    """Outside a transaction many texts may take longer than few; inside, the wait is capped."""
    limits = settings()
    return limits.atomic_timeout_s if hurried else limits.write_timeout_s * ceil(texts / limits.batch_size)


def _holds_locks(using: str) -> bool:
    """Whether a transaction of the project is open. That of a ``TestCase`` does not count."""
    blocks = connections[using].atomic_blocks
    return any(not getattr(block, "_from_testcase", False) for block in blocks)


def _stored(space: SpaceInfo, keys: list[UUID], using: str) -> dict[UUID, Packed]:
    """Vectors of the same texts that stand in the space already, in this record or any other."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT ON (text_key) text_key, embedding::text FROM {name(space.table)}"
            " WHERE text_key = ANY(%s)",
            [keys],
        )
        return {key: pack([float(part) for part in text[1:-1].split(",")]) for key, text in cursor.fetchall()}


def pack(vector: Sequence[float]) -> Packed:
    return struct.pack(f"<{len(vector)}e", *vector)


def literal(vector: Packed) -> str:
    """The text form that ``halfvec`` reads; five digits are more than a half float holds."""
    return "[" + ",".join(f"{part:.5g}" for part in struct.unpack(f"<{len(vector) // 2}e", vector)) + "]"


def reset_memory(**_: Any) -> None:
    memory.clear()
