"""Hybrid search as it is commonly written on Django and pgvector: the peer that the others are compared with.

Two ranked ORM queries, reciprocal rank fusion in Python, a third query for the rows that won. Nothing is set for
the session, so ``hnsw.ef_search`` stays at its default of 40.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.db.models import F, Func, TextField, Value
from numpy.typing import NDArray
from pgvector.django import CosineDistance

from benchmarks.project.catalogue.models import Doc, NaiveDoc

CONFIG = "english"
Vector = NDArray[np.float32]


def search(text: str, vector: Vector, *, top_n: int = 10, depth: int = 100) -> list[NaiveDoc]:
    """``websearch`` (every word must match) and cosine over whole rows, fused by RRF with k = 60."""
    query = SearchQuery(text, config=CONFIG, search_type="websearch")
    return fetch(rrf([pks(lexical(query, depth)), pks(dense(vector, depth))])[:top_n])


def search_or(text: str, vector: Vector, *, top_n: int = 10, depth: int = 100) -> list[NaiveDoc]:
    """The same with any word matching."""
    words = [SearchQuery(word, config=CONFIG) for word in text.split()] or [SearchQuery("", config=CONFIG)]
    query = reduce(or_, words)
    return fetch(rrf([pks(lexical(query, depth)), pks(dense(vector, depth))])[:top_n])


def search_ids(text: str, vector: Vector, *, top_n: int = 10, depth: int = 100) -> list[NaiveDoc]:
    """As ``search``, by someone who has noticed that the rankings need no more than primary keys."""
    query = SearchQuery(text, config=CONFIG, search_type="websearch")
    rankings = [
        ranked.values_list("pk", flat=True) for ranked in (lexical(query, depth), dense(vector, depth))
    ]
    return fetch(rrf(rankings)[:top_n])


def lexical(query: Any, depth: int) -> Any:
    ranked = NaiveDoc.objects.annotate(rank=SearchRank(F("search_vector"), query))
    return ranked.filter(search_vector=query).order_by("-rank")[:depth]


def dense(vector: Vector, depth: int) -> Any:
    return NaiveDoc.objects.annotate(distance=CosineDistance("embedding", vector)).order_by("distance")[
        :depth
    ]


def pks(ranked: Iterable[NaiveDoc]) -> list[int]:
    return [doc.pk for doc in ranked]


def rrf(rankings: Iterable[Iterable[int]], k: int = 60) -> list[int]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, pk in enumerate(ranking, 1):
            scores[pk] = scores.get(pk, 0.0) + 1 / (k + rank)
    return sorted(scores, key=lambda pk: scores[pk], reverse=True)


def fetch(best: list[int]) -> list[NaiveDoc]:
    found = NaiveDoc.objects.in_bulk(best)
    return [found[pk] for pk in best]


def query_vectors(texts: Iterable[str]) -> dict[str, Vector]:
    """Asks the embedder once a text. It then has them in its own memory too, if it keeps one."""
    embedder = Doc.search.embedder
    return {text: np.asarray(embedder.embed_query(text)) for text in texts}


def fill_search_vector() -> None:
    """Title A, the rest B, codes and brands among them."""
    codes = [
        SearchVector(
            Func(F(name), Value(" "), function="array_to_string", output_field=TextField()), config=CONFIG
        )
        for name in ("part_number", "ean")
    ]
    NaiveDoc.objects.update(
        search_vector=SearchVector("title", weight="A", config=CONFIG)
        + SearchVector("text", "brand", weight="B", config=CONFIG)
        + codes[0]
        + codes[1]
    )
