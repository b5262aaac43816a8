"""Hybrid search as it is commonly written, to compare with; the shop itself does not use it.

A ``SearchVector`` column and an embedding column beside the record, ``websearch`` (which ANDs the words) with
``ts_rank``, cosine distance, and reciprocal rank fusion over both rankings in Python. It gets the same text
(part number, EAN and brand included), the same embedder and the same permissions as ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.db.models import F, Model, QuerySet, Value
from pgvector.django import CosineDistance

from demo.shop.models import Article, Product, UsualArticle, UsualColumns, UsualProduct
from lockstep.search.embedders import get_embedder

K = 60
DEPTH = 50
USUAL: dict[type[Model], type[UsualColumns]] = {Product: UsualProduct, Article: UsualArticle}


def search(visible: QuerySet[Any], text: str, top_n: int = 10) -> list[Any]:
    """The best ``top_n`` records by three queries and a loop."""
    words = SearchQuery(text, search_type="websearch", config="english")
    lexical = (
        visible.filter(usual__search_vector=words)
        .annotate(rank=SearchRank(F("usual__search_vector"), words))
        .order_by("-rank", "pk")
    )
    vector = get_embedder().embed_query(text)
    dense = visible.order_by(CosineDistance("usual__embedding", list(vector)), "pk")
    best = fuse([list(ranking.values_list("pk", flat=True)[:DEPTH]) for ranking in (lexical, dense)])
    records = visible.in_bulk(best[:top_n])
    return [records[pk] for pk in best[:top_n]]


def fuse(rankings: Iterable[Sequence[Any]]) -> list[Any]:
    """Primary keys by reciprocal rank fusion, best first."""
    scores: defaultdict[Any, float] = defaultdict(float)
    for ranking in rankings:
        for place, pk in enumerate(ranking, start=1):
            scores[pk] += 1 / (K + place)
    return sorted(scores, key=lambda pk: -scores[pk])


def keep_up(records: Sequence[Any]) -> None:
    """Write the two columns of these records, which are of one model."""
    if not records:
        return
    columns = USUAL[type(records[0])]
    vectors = get_embedder().embed_documents(["\n\n".join(_texts(record)) for record in records])
    columns._default_manager.bulk_create(
        [
            columns(record=record, search_vector=_words(record), embedding=list(vector))
            for record, vector in zip(records, vectors, strict=True)
        ],
        update_conflicts=True,
        unique_fields=["record"],
        update_fields=["search_vector", "embedding"],
    )


def _texts(record: Any) -> tuple[str, str, str]:
    """Heading, text and the rest: what is weighted A, B and A."""
    if isinstance(record, Product):
        return record.name, record.description, f"{record.brand.name} {record.sku} {record.ean}"
    return record.title, record.body, ""


def _words(record: Any) -> Any:
    heading, text, rest = (Value(part) for part in _texts(record))
    return (
        SearchVector(heading, weight="A", config="english")
        + SearchVector(text, weight="B", config="english")
        + SearchVector(rest, weight="A", config="english")
    )


def keep_up_one(sender: type[Model], instance: Model, **_: Any) -> None:
    """``post_save``: nothing does this for ``update()``, ``bulk_update()`` or SQL."""
    keep_up([instance])
