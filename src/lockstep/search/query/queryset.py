"""``hybrid_search()`` on the queryset of an indexed model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from django.db import models

from lockstep.search.declaration import Declaration, all_indexes, indexes_of
from lockstep.search.exceptions import QueryError, SpaceError
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.join import HitCol, HitsJoin
from lockstep.search.query.parsing import parse
from lockstep.search.query.spec import SearchSpec, spec_of
from lockstep.search.spaces import active

__all__ = ["HybridMixin", "attach"]

logger = logging.getLogger("lockstep.search")

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Finds the tables of an index on the database that a query turns out to run on."""

    label: str

    @property
    def index(self) -> Declaration:
        return next(index for index in all_indexes() if index.label == self.label)

    def __call__(self, using: str) -> Corpus:
        index = self.index
        try:
            space = active(index, using)
        except SpaceError as error:
            logger.error("%s", error)
            space = None
        return Corpus(
            label=index.label,
            config=index.config,
            embedder=index.embedder_alias,
            record=index.table,
            document=index.document_table,
            document_key="record_id",
            tsv="tsv",
            length="length",
            identified=True,
            vectors=space.table if space else None,
            vectors_key="record_id",
            embedding="embedding",
            kind="halfvec",
            dimensions=space.dimensions if space else 0,
            chunked=True,
            space=space.key if space else "",
        )


class HybridMixin(models.QuerySet[M]):
    """Hybrid search as a lazy queryset."""

    def hybrid_search(
        self,
        query: str,
        *,
        k: int = 60,
        weights: Mapping[str, float] | None = None,
        fusion: str = "rrf",
        top_n: int = 10,
        depth: int = 100,
        legs: Sequence[str] | None = None,
        index: str | None = None,
    ) -> Self:
        """The records that answer ``query`` best, best first, among those that this queryset permits.

        A filter before or after means the same: it goes inside every leg. ``"quoted phrases"`` must stand in
        a record, ``-word`` must not; the other words are found by any of them.

        Args:
            query: what a person typed. Read to 4,000 characters; empty finds nothing.
            k: damping of reciprocal rank fusion in ranks, at least 1; larger flattens the lead of the first.
            weights: leg -> positive weight, 1.0 where none is named.
            fusion: ``rrf``, ``norm`` (score over the leg's best) or ``dbsf`` (score by mean and deviation).
            top_n: most records to find, 1 to 1,000; slice inside it.
            depth: records that each leg contributes, 1 to 1,000.
            legs: which of ``lexical``, ``identifier`` and ``dense`` run; all when None.
            index: attribute of the index, where a model has several.

        Returns:
            A lazy queryset of this model, ordered by ``search_rank`` (from 1), with ``search_score`` (higher is
            better), ``search_score_norm`` (0 to 1: 1 is first in every leg) and ``search_detail`` (a dict).

        Raises:
            QueryError: an argument means nothing, or the queryset is sliced, combined or searched already.
        """
        spec = spec_of(query, k=k, weights=weights, fusion=fusion, top_n=top_n, depth=depth, legs=legs)
        found: Self = attach(self, IndexSource(_chosen(self.model, index).label), spec)
        return found

    def __or__(self, other: models.QuerySet[M]) -> Self:
        _refuse_combining(self, other)
        return super().__or__(other)

    def __xor__(self, other: models.QuerySet[M]) -> Self:
        _refuse_combining(self, other)
        return super().__xor__(other)

    def __and__(self, other: models.QuerySet[M]) -> Self:
        if is_searched(other):
            _refuse_combining(self, other)
        return super().__and__(other)

    def _iterator(self, use_chunked_fetch: bool, chunk_size: int | None) -> Iterator[Any]:
        # At most top_n rows: a server-side cursor would cost more than it saves.
        found: Iterator[Any] = super()._iterator(use_chunked_fetch and not is_searched(self), chunk_size)  # type: ignore[misc]
        return found


def _chosen(model: type[models.Model], attribute: str | None) -> Declaration:
    found = {index.attname: index for index in indexes_of(model)}
    if not found:
        raise QueryError(
            f"{model._meta.label} declares no SearchIndex; see hybrid_search(qs, ...) for own columns."
        )
    if attribute is None and len(found) > 1:
        raise QueryError(
            f"{model._meta.label} has several indexes: say which, index= one of {', '.join(found)}."
        )
    if attribute is not None and attribute not in found:
        raise QueryError(f"{model._meta.label} has no index {attribute!r}. It has {', '.join(found)}.")
    return found[attribute] if attribute else next(iter(found.values()))


def is_searched(queryset: models.QuerySet[Any]) -> bool:
    return any(isinstance(join, HitsJoin) for join in queryset.query.alias_map.values())


def _refuse_combining(*sides: models.QuerySet[Any]) -> None:
    if any(map(is_searched, sides)):
        raise QueryError("Two rankings have no common order: combine the filters before hybrid_search().")


def attach(queryset: Any, source: Any, spec: SearchSpec) -> Any:
    """The queryset joined to its ranking. Nothing is computed until it is evaluated."""
    if queryset.query.is_sliced:
        raise QueryError("hybrid_search() comes before slicing: qs.hybrid_search(query)[:10].")
    if queryset.query.combinator:
        raise QueryError(
            f"hybrid_search() cannot search a {queryset.query.combinator}(): combine with Q objects."
        )
    if is_searched(queryset):
        raise QueryError("This queryset is a search already: search the one before it.")
    parsed = parse(spec.query)
    if parsed.is_empty:
        queryset = queryset.none()
    found = queryset._chain()
    pk = found.model._meta.pk
    join = HitsJoin(source, spec, parsed, found.query.get_initial_alias(), pk.column)
    alias = found.query.join(join)
    for attribute, column, output in _COLUMNS:
        found.query.add_annotation(HitCol(alias, column, output()), attribute)
    found.query.clear_ordering(force=True)
    found.query.add_ordering("search_rank")
    return found


_COLUMNS: tuple[tuple[str, str, type[models.Field[Any, Any]]], ...] = (
    ("search_rank", "position", models.IntegerField),
    ("search_score", "score", models.FloatField),
    ("search_score_norm", "score_norm", models.FloatField),
    ("search_detail", "detail", models.JSONField),
)
