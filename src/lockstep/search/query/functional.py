"""Hybrid search over columns that a model has already, without a declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.postgres.search import SearchVectorField
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from pgvector.django import HalfVectorField, VectorField

from lockstep.search.conf import settings
from lockstep.search.embedders import get_embedder
from lockstep.search.exceptions import QueryError
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.queryset import attach
from lockstep.search.query.spec import spec_of

__all__ = ["hybrid_search"]

Q = TypeVar("Q", bound=models.QuerySet[Any])


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Two columns of a model as the corpus of a search."""

    model: str
    vector: str
    lexical: str
    embedder: str
    config: str

    def __call__(self, using: str) -> Corpus:
        vector: Any = apps.get_model(self.model)._meta.get_field(self.vector)
        meta = vector.model._meta
        return Corpus(
            label="",
            config=self.config,
            embedder=self.embedder,
            record=meta.db_table,
            document=meta.db_table,
            document_key=meta.pk.column,
            tsv=meta.get_field(self.lexical).column,
            length="",
            identified=False,
            vectors=meta.db_table,
            vectors_key=meta.pk.column,
            embedding=vector.column,
            kind="halfvec" if isinstance(vector, HalfVectorField) else "vector",
            dimensions=vector.dimensions,
            chunked=False,
            space="",
        )


def hybrid_search(
    queryset: Q,
    query: str,
    *,
    vector: str = "embedding",
    lexical: str = "search_vector",
    embedder: str = "default",
    config: str | None = None,
    k: int = 60,
    weights: Mapping[str, float] | None = None,
    fusion: str = "rrf",
    top_n: int = 10,
    depth: int = 100,
    legs: Sequence[str] | None = None,
) -> Q:
    """Search a model by a vector column and a tsvector column of its own.

    The ranking is that of ``SearchQuerySet.hybrid_search``, without the identifier leg. Nothing is promised about
    freshness: whoever fills the columns keeps them in step.

    Args:
        queryset: what may be found; filters go inside both legs.
        vector: name of a ``VectorField`` or ``HalfVectorField`` with dimensions.
        lexical: name of a ``SearchVectorField``.
        embedder: alias of the model that made the vectors.
        config: text-search configuration that made the lexemes; None takes the setting.

    Raises:
        QueryError: a column is missing, of another kind or of other dimensions than the embedder.
    """
    meta = queryset.model._meta
    field = _column(meta, vector, (VectorField, HalfVectorField))
    _column(meta, lexical, (SearchVectorField,))
    dimensions = get_embedder(embedder).dimensions
    if field.dimensions != dimensions:
        raise QueryError(
            f"{meta.label}.{vector} has {field.dimensions} dimensions and the embedder {embedder!r} makes {dimensions}:"
            " name the embedder that made the vectors with embedder=."
        )
    chosen = legs if legs is not None else ("lexical", "dense")
    spec = spec_of(query, k=k, weights=weights, fusion=fusion, top_n=top_n, depth=depth, legs=chosen)
    source = ColumnSource(meta.label, vector, lexical, embedder, config or settings().config)
    found: Q = attach(queryset, source, spec)
    return found


def _column(meta: Any, name: str, kinds: tuple[type, ...]) -> Any:
    try:
        field = meta.get_field(name)
    except FieldDoesNotExist:
        raise QueryError(
            f"{meta.label} has no field {name!r}: name its columns with vector= and lexical=."
        ) from None
    if not isinstance(field, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise QueryError(f"{meta.label}.{name} is a {type(field).__name__}; {wanted} is needed.")
    return field
