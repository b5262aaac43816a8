from array import array
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from benchmarks.vectors import CachedEmbedder, VectorStore

HASHING = "lockstep.search.embedders.hashing.Hashing"


def put_range(folder: str, numbers: Sequence[int]) -> None:
    store = VectorStore(Path(folder), 3)
    for number in numbers:
        store.put({f"text {number}": [number, 1, 0]})


def test_a_stored_vector_comes_back_with_length_one(tmp_path: Path) -> None:
    VectorStore(tmp_path, 3).put({"a": [3, 4, 0], "b": [0, 0, 2]})
    again = VectorStore(tmp_path, 3)
    assert again.get("a") == pytest.approx(array("f", [0.6, 0.8, 0.0]), abs=1e-3)
    assert again.get("unknown") is None
    assert "b" in again
    assert len(again) == 2


def test_rows_that_another_process_appended_are_seen(tmp_path: Path) -> None:
    first, second = VectorStore(tmp_path, 3), VectorStore(tmp_path, 3)
    first.put({"a": [1, 0, 0]})
    second.put({"a": [0, 1, 0], "b": [0, 0, 1]})
    first.refresh()
    assert list(first.get("b") or ()) == [0, 0, 1]
    assert list(second.get("a") or ()) == [1, 0, 0], "what is there stays"


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = get_context("spawn")
    writers = [context.Process(target=put_range, args=(str(tmp_path), range(n, 40 + n))) for n in (0, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store = VectorStore(tmp_path, 3)
    assert len(store) == 60
    for number in range(60):
        expected = np.array([number, 1, 0]) / np.hypot(number, 1)
        assert list(store.get(f"text {number}") or ()) == pytest.approx(list(expected), abs=1e-3)


def test_what_a_killed_writer_left_half_written_is_cut_off(tmp_path: Path) -> None:
    VectorStore(tmp_path, 3).put({"a": [1, 0, 0]})
    with (tmp_path / "vectors.f16").open("ab") as vectors, (tmp_path / "keys.bin").open("ab") as keys:
        vectors.write(b"\x01" * 9)
        keys.write(b"\x02" * 7)
    store = VectorStore(tmp_path, 3)
    assert len(store) == 1
    store.put({"b": [0, 1, 0]})
    again = VectorStore(tmp_path, 3)
    assert len(again) == 2
    assert list(again.get("b") or ()) == [0, 1, 0]


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 dimensions, this store holds 3"):
        VectorStore(tmp_path, 3).put({"a": [1, 0]})


def test_the_wrapped_embedder_is_asked_once_a_text(tmp_path: Path) -> None:
    embedder = CachedEmbedder(inner=HASHING, options={"dimensions": 64}, root=str(tmp_path), batch=2)
    plain = embedder.inner
    first = embedder.embed_documents(["red kettle", "blue lamp", "red kettle", "green torch"])
    embedder.inner = Forbidden(plain)
    again = embedder.embed_documents(["blue lamp", "red kettle"])
    assert again == [first[1], first[0]]
    assert first[0] == pytest.approx(plain.embed_documents(["red kettle"])[0], abs=1e-3)
    assert embedder.embed_query("red kettle") == first[0]


def test_queries_and_documents_are_kept_apart_by_their_prefix(tmp_path: Path) -> None:
    options = {"dimensions": 64, "document_prefix": "passage: ", "query_prefix": "query: "}
    embedder = CachedEmbedder(inner=HASHING, options=options, root=str(tmp_path))
    assert embedder.embed_documents(["kettle"])[0] != embedder.embed_query("kettle")


def test_the_rest_of_the_interface_is_the_wrapped_one(tmp_path: Path) -> None:
    embedder = CachedEmbedder(inner=HASHING, options={"dimensions": 64}, root=str(tmp_path))
    assert (embedder.dimensions, embedder.max_tokens, embedder.remote) == (64, 256, False)
    assert embedder.token_spans("red kettle") == [(0, 3), (4, 10)]


class Forbidden:
    """Has the names of an embedder and embeds nothing."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        if name.startswith("embed"):
            raise AssertionError("asked for a text that was cached")
        return getattr(self.inner, name)
