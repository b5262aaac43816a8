"""What the rest of search relies on, asked of every embedder alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstep.core import context, ports
from lockstep.core.ports import Usage
from lockstep.search.chunking import chunk
from lockstep.search.embedders import Embedder
from lockstep.search.embedders.hashing import Hashing
from lockstep.search.embedders.minilm import MiniLM
from lockstep.search.embedders.onnx import OnnxEmbedder
from lockstep.search.embedders.openai import OpenAICompatible
from lockstep.search.exceptions import EmbedderMisconfigured
from tests.search.embedding_server import DIMENSIONS, running
from tests.search.tiny_model import model_bytes, write_folder

TEXTS = ["one", "two three", "one two three one two three", "three"]
STRANGE = {
    "empty": "",
    "space": " \n\t ",
    "nul": "one\x00two",
    "half a character": "one \ud83d two",
    "emoji": "👩‍👩‍👧‍👦 🇬🇧 👍🏽",
    "right to left": "שלום עולם، مرحبا",
    "combining": "e\u0301" * 50,
    "no spaces": "日本語の文章" * 50,
    "one long word": "x" * 20_000,
    "long": "one two three " * 2_000,
}


@contextmanager
def hashing(_: Path) -> Iterator[Embedder]:
    yield Hashing()


@contextmanager
def minilm(_: Path) -> Iterator[Embedder]:
    try:
        yield MiniLM()
    except EmbedderMisconfigured as absent:
        pytest.skip(str(absent))


@contextmanager
def onnx(folder: Path) -> Iterator[Embedder]:
    yield OnnxEmbedder(write_folder(folder, model_bytes()), document_prefix="passage: ")


@contextmanager
def openai(_: Path) -> Iterator[Embedder]:
    with running() as server:
        embedder = OpenAICompatible(base_url=server.base_url, model="m", dimensions=DIMENSIONS, batch_size=3)
        yield embedder
        embedder.close()


@pytest.fixture(autouse=True)
def unmetered() -> Iterator[None]:
    """These tests have no database: the ledger, which is in one, is not asked from any of their threads."""
    with ports.metering.override(ports.NoMetering()):
        yield


@pytest.fixture(scope="module", params=[hashing, minilm, onnx, openai], ids=lambda make: make.__name__)
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    with request.param(tmp_path_factory.mktemp("model")) as embedder:
        yield embedder


class Meter:
    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.seen: list[tuple[str, str | None, Usage]] = []

    @contextmanager
    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> Iterator[Usage]:
        usage = Usage()
        yield usage
        if provider == self.provider:
            self.seen.append((operation, feature, usage))


def test_it_says_what_a_space_records(embedder: Embedder) -> None:
    assert embedder.model
    assert isinstance(embedder.revision, str)
    assert embedder.dimensions > 0
    assert embedder.max_tokens > 0
    assert isinstance(embedder.remote, bool)
    assert isinstance(embedder.document_prefix + embedder.query_prefix, str)


def test_each_text_gets_one_vector_of_the_declared_shape_and_length_one(embedder: Embedder) -> None:
    vectors = embedder.embed_documents(TEXTS)
    assert len(vectors) == len(TEXTS)
    for vector in [*vectors, embedder.embed_query("one")]:
        assert (vector.typecode, len(vector)) == ("f", embedder.dimensions)
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


def test_a_vector_does_not_depend_on_its_company(embedder: Embedder) -> None:
    together = embedder.embed_documents(TEXTS)
    reversed_ = embedder.embed_documents(TEXTS[::-1])[::-1]
    for text, vector, other in zip(TEXTS, together, reversed_, strict=True):
        (alone,) = embedder.embed_documents([text])
        assert vector.tolist() == pytest.approx(alone.tolist(), abs=1e-5)
        assert other.tolist() == pytest.approx(alone.tolist(), abs=1e-5)


def test_other_texts_have_other_vectors(embedder: Embedder) -> None:
    one, two, *_ = embedder.embed_documents(TEXTS)
    assert sum(a * b for a, b in zip(one, two, strict=True)) < 0.999


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed_documents([]) == []


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_texts_have_vectors_and_tokens(embedder: Embedder, kind: str) -> None:
    text = STRANGE[kind]
    assert len(embedder.embed_query(text)) == embedder.dimensions
    spans = embedder.token_spans(text)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert embedder.count_tokens(text) >= embedder.count_tokens("") >= 0


def test_counting_agrees_with_the_spans(embedder: Embedder) -> None:
    for text in TEXTS:
        assert embedder.count_tokens(text) == embedder.count_tokens("") + len(embedder.token_spans(text))


def test_chunks_fit_into_what_the_model_reads(embedder: Embedder) -> None:
    text = " ".join(["one two three, two one.", "three!"] * 400)
    chunks = chunk(text, embedder=embedder)
    assert len(chunks) > 1
    for piece in chunks:
        assert embedder.count_tokens(text[piece.start : piece.end]) <= embedder.max_tokens


def test_threads_get_the_same_vectors(embedder: Embedder) -> None:
    expected = embedder.embed_query("two three").tolist()
    with ThreadPoolExecutor(4) as pool:
        for vector in pool.map(embedder.embed_query, ["two three"] * 16):
            assert vector.tolist() == pytest.approx(expected, abs=1e-5)


def test_no_time_is_a_timeout(embedder: Embedder) -> None:
    with pytest.raises(TimeoutError):
        embedder.embed_documents(["one"], timeout_s=0)


def test_every_text_is_metered_for_the_feature_of_the_context(embedder: Embedder) -> None:
    meter = Meter(getattr(embedder, "provider", ""))
    with ports.metering.override(meter), context.use(feature="support.answer"):
        embedder.embed_documents(TEXTS)
    assert {(operation, feature) for operation, feature, _ in meter.seen} == {
        ("embeddings", "support.answer")
    }
    assert sum(usage.items for _, _, usage in meter.seen) == len(TEXTS)
    assert sum(usage.input_tokens or 0 for _, _, usage in meter.seen) >= len(TEXTS)
