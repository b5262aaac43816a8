"""The retrieval libraries that people put beside Django, each over its own table in the same database.

Rows are copied straight into the tables that the libraries made (their own inserts commit row by row), with
the same vectors, and the indexes that their documentation recommends. Searching goes through their public
interface.
"""

from __future__ import annotations

import asyncio
import json
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from benchmarks.exceptions import Absent
from benchmarks.loading import progress
from benchmarks.synthetic import Corpus, Row
from benchmarks.texts import rendered

Search = Callable[[str], list[str]]
"""From the text of a query to document keys, best first."""


@dataclass(frozen=True, slots=True)
class Peer:
    search: Search
    close: Callable[[], None]
    """Gives its connections back."""


REQUIREMENTS = "pip install -r requirements/bench.txt, or run bin/bench, which does"


class Vectors:
    """What both libraries want for an embedding model: the corpus's own vectors."""

    def __init__(self, corpus: Corpus) -> None:
        self._language = corpus.language
        self._known: dict[str, list[float]] = {}

    def of(self, text: str) -> list[float]:
        if text not in self._known:
            self._known[text] = self._language.embed(text).tolist()
        return self._known[text]


def langchain_postgres(corpus: Corpus, url: str, *, top_n: int, depth: int) -> Peer:
    """PGVectorStore with a tsvector column, HNSW and reciprocal rank fusion, ``depth`` candidates a leg."""
    with required("langchain_postgres"):
        from langchain_core.embeddings import Embeddings
        from langchain_postgres import PGEngine, PGVectorStore
        from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig, reciprocal_rank_fusion
        from langchain_postgres.v2.indexes import HNSWIndex

    vectors = Vectors(corpus)

    class Known(Embeddings):  # type: ignore[misc]
        def embed_query(self, text: str) -> list[float]:
            return vectors.of(text)

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vectors.of(text) for text in texts]

    hybrid = HybridSearchConfig(
        tsv_column="content_tsv",
        tsv_lang="pg_catalog.english",
        fusion_function=reciprocal_rank_fusion,
        primary_top_k=depth,
        secondary_top_k=depth,
    )
    engine = PGEngine.from_connection_string(_driver(url, "psycopg"))
    engine.init_vectorstore_table("peer_langchain", corpus.language.dimensions, hybrid_search_config=hybrid)
    with copying(
        url, "peer_langchain (langchain_id, content, embedding, content_tsv, langchain_metadata)"
    ) as write:
        for row in progress(corpus, corpus.documents, "langchain documents"):
            write([uuid.uuid4(), _with_codes(row), _literal(corpus, row), "", json.dumps({"key": row.key})])
    execute(url, "UPDATE peer_langchain SET content_tsv = to_tsvector('pg_catalog.english', content)")
    store = PGVectorStore.create_sync(engine, Known(), "peer_langchain", hybrid_search_config=hybrid)
    store.apply_hybrid_search_index()
    store.apply_vector_index(HNSWIndex())

    def search(query: str) -> list[str]:
        # a fresh configuration each time: the store writes the text of the first query into the shared one
        # and goes on searching for it (0.0.19, async_vectorstore.py, asimilarity_search)
        asked = replace(hybrid, fts_query=query, fusion_function_parameters={})
        found = store.similarity_search(query, k=top_n, hybrid_search_config=asked)
        return [document.metadata["key"] for document in found]

    return Peer(search, lambda: asyncio.run(engine.close()))


def llamaindex(corpus: Corpus, url: str, *, top_n: int, depth: int) -> Peer:
    """PGVectorStore in hybrid mode with HNSW. It fuses nothing: ``top_n`` of each leg, concatenated."""
    with required("llama_index.vector_stores.postgres"):
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
        from llama_index.core.vector_stores.utils import node_to_metadata_dict
        from llama_index.vector_stores.postgres import PGVectorStore

    store = PGVectorStore.from_params(
        connection_string=_driver(url, "psycopg2"),
        async_connection_string=_driver(url, "asyncpg"),
        table_name="peer_llamaindex",
        hybrid_search=True,
        text_search_config="english",
        embed_dim=corpus.language.dimensions,
    )
    store.add([])  # makes the table
    vectors = Vectors(corpus)
    with copying(url, "data_peer_llamaindex (text, metadata_, node_id, embedding)") as write:
        for row in progress(corpus, corpus.documents, "llamaindex documents"):
            node = TextNode(id_=row.key, text="")
            metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
            write([_with_codes(row), json.dumps(metadata), row.key, _literal(corpus, row)])
    execute(url, "CREATE INDEX ON data_peer_llamaindex USING hnsw (embedding vector_cosine_ops)")

    def search(query: str) -> list[str]:
        asked = VectorStoreQuery(
            query_embedding=vectors.of(query),
            query_str=query,
            similarity_top_k=top_n,
            sparse_top_k=top_n,
            mode=VectorStoreQueryMode.HYBRID,
        )
        return [node.node_id for node in store.query(asked).nodes]

    return Peer(search, lambda: asyncio.run(store.close()))


PEERS = {"langchain_postgres": langchain_postgres, "llamaindex": llamaindex}


@contextmanager
def required(module: str) -> Iterator[None]:
    """Turn a missing package into a named skip. Libraries may warn on import; that is theirs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise Absent(f"{module} is not installed ({error.name} is missing): {REQUIREMENTS}") from None


@contextmanager
def copying(url: str, table: str) -> Iterator[Callable[[Sequence[Any]], None]]:
    """``COPY table FROM STDIN``; yields a function that writes one row."""
    with psycopg.connect(url) as connection, connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        yield copy.write_row


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET max_parallel_maintenance_workers = 0")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(statement)


def _with_codes(row: Row) -> str:
    """Neither library has a place for identifiers: they go into the text."""
    return rendered(row.title, row.text, f"{row.part_number} {row.ean} {row.brand}")


def _literal(corpus: Corpus, row: Row) -> str:
    """The vector as text: of the same text as in the other tables."""
    return "[" + ",".join(f"{x:.6g}" for x in corpus.language.embed(rendered(row.title, row.text))) + "]"


def _driver(url: str, driver: str) -> str:
    """The URL as SQLAlchemy wants it, with the driver in its scheme."""
    return f"postgresql+{driver}://{url.partition('://')[2]}"
