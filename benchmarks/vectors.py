"""Embeddings kept on disk by the digest of their text, so that a corpus is embedded once and not once a run.

Format, one folder per (model, revision, dimensions) below ``benchmarks/.cache/vectors``::

    keys.bin      32 bytes a row: SHA-256 of the UTF-8 text as the model saw it (prefix included)
    vectors.f16   dimensions * 2 bytes a row: the vector as little-endian float16, same order

Rows are only ever appended, under a lock, vectors before keys: a killed run leaves at most a vector without
a key, which the next writer cuts off. Several processes may read and write. float16 is what a ``halfvec``
column stores.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

CACHE = Path(__file__).parent / ".cache" / "vectors"

Vector: TypeAlias = "array[float]"
"""float32 numbers, as every embedder answers."""


class VectorStore:
    """Text -> unit vector, on disk.

    Args:
        folder: where the two files are; made when missing.
        dimensions: length of every vector.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.folder, self.dimensions = folder, dimensions
        self._rows: dict[bytes, int] = {}
        self._vectors: NDArray[np.float16] = np.empty((0, dimensions), dtype="<f2")
        folder.mkdir(parents=True, exist_ok=True)
        self.refresh()

    @classmethod
    def of(cls, model: str, revision: str, dimensions: int, root: Path = CACHE) -> VectorStore:
        """The store of one embedding model, in a folder named after it."""
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{model}-{revision[:12]}-{dimensions}").strip("-")
        return cls(root / name, dimensions)

    def __contains__(self, text: str) -> bool:
        return digest(text) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, text: str) -> Vector | None:
        row = self._rows.get(digest(text))
        return None if row is None else _unit(self._vectors[row])

    def put(self, vectors: Mapping[str, Sequence[float] | Vector]) -> None:
        """Append what is not there yet, and read what others appended meanwhile."""
        with self._locked():
            self.refresh()
            fresh = {digest(text): vector for text, vector in vectors.items() if text not in self}
            if fresh:
                rows = np.asarray(list(fresh.values()), dtype="<f2")
                if rows.shape[1] != self.dimensions:
                    raise ValueError(f"{rows.shape[1]} dimensions, this store holds {self.dimensions}")
                self._append(b"".join(fresh), rows.tobytes())
        self.refresh()

    def refresh(self) -> None:
        """Read rows that another process has appended."""
        keys = self._new_keys()
        for number, start in enumerate(range(0, len(keys), 32), len(self._rows)):
            self._rows[keys[start : start + 32]] = number
        if keys:
            path = self.folder / "vectors.f16"
            self._vectors = np.memmap(path, "<f2", mode="r", shape=(len(self._rows), self.dimensions))

    def _new_keys(self) -> bytes:
        path = self.folder / "keys.bin"
        if not path.exists():
            return b""
        with path.open("rb") as file:
            file.seek(len(self._rows) * 32)
            found = file.read()
        return found[: len(found) // 32 * 32]

    def _append(self, keys: bytes, vectors: bytes) -> None:
        complete = len(self._rows)
        for name, width, added in (("vectors.f16", self.dimensions * 2, vectors), ("keys.bin", 32, keys)):
            with (self.folder / name).open("ab") as file:
                file.truncate(complete * width)
                file.write(added)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class CachedEmbedder:
    """An embedder that asks another one only for texts it has not seen; shaped like the one it wraps.

    Args:
        BACKEND, OPTIONS: of the wrapped embedder, as in ``LOCKSTEP["search"]["embedders"]``.
        root: folder of the stores; the git-ignored ``benchmarks/.cache/vectors`` by default.
        batch: texts per call of the wrapped embedder; each batch is on disk before the next begins.
    """

    def __init__(
        self,
        *,
        inner: str,
        options: Mapping[str, Any] | None = None,
        root: str | None = None,
        batch: int = 32,
    ) -> None:
        from django.utils.module_loading import import_string

        self.inner = import_string(inner)(**dict(options or {}))
        self.batch = batch
        self.store = VectorStore.of(
            self.inner.model, self.inner.revision, self.inner.dimensions, Path(root) if root else CACHE
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def embed_documents(self, texts: Sequence[str], *, timeout_s: float | None = None) -> list[Vector]:
        prefix = self.inner.document_prefix
        missing = [t for t in dict.fromkeys(texts) if prefix + t not in self.store]
        # by length, so that a batch is not padded to its longest text
        missing.sort(key=len)
        for start in range(0, len(missing), self.batch):
            some = missing[start : start + self.batch]
            found = self.inner.embed_documents(some, timeout_s=timeout_s)
            self.store.put({prefix + t: v for t, v in zip(some, found, strict=True)})
        return [self._known(prefix + text) for text in texts]

    def embed_query(self, text: str, *, timeout_s: float | None = None) -> Vector:
        key = self.inner.query_prefix + text
        if key not in self.store:
            self.store.put({key: self.inner.embed_query(text, timeout_s=timeout_s)})
        return self._known(key)

    def _known(self, key: str) -> Vector:
        vector = self.store.get(key)
        if vector is None:
            raise RuntimeError(
                "a vector that was just stored cannot be read back: the cache folder was changed"
            )
        return vector


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _unit(row: NDArray[np.float16]) -> Vector:
    vector = row.astype(np.float32)
    return array("f", (vector / (np.linalg.norm(vector) or 1.0)).astype(np.float32).tobytes())
