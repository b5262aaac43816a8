"""One ranking out of several: reciprocal ranks, top-normalised sum, or distribution-based scores."""

from __future__ import annotations

import json
from typing import Any

from lockstep.search.query.legs import Scope, dense, identifier, lexical
from lockstep.search.query.parsing import ParsedQuery
from lockstep.search.query.plan import Plan
from lockstep.search.query.spec import SearchSpec
from lockstep.search.query.sql import Sql

__all__ = ["NothingToSearch", "ranking"]


class NothingToSearch(Exception):
    """No leg has anything to go by: only stop words, say, and the dense leg is off."""


def ranking(scope: Scope, spec: SearchSpec, parsed: ParsedQuery) -> Sql:
    """The ranking statement: ``(id, position, score, score_norm, detail)`` of the best ``top_n`` records.

    Raises:
        NothingToSearch: no leg can run.
    """
    legs = _running(scope, spec)
    if not legs:
        raise NothingToSearch
    parts: list[str] = []
    params: list[Any] = []
    if "dense" in legs:
        parts.append(f"q AS MATERIALIZED (SELECT %s::{_vector_type(scope)} AS v)")
        params.append(scope.plan.vector)
    for leg, sql in legs.items():
        parts.append(f"{leg} AS MATERIALIZED ({sql.text})")
        params += sql.params
    text = f"""WITH {", ".join(parts)},
share AS MATERIALIZED ({" UNION ALL ".join(_share(leg, spec) for leg in legs)}),
fused AS MATERIALIZED (
  SELECT id, sum(contribution) AS score, max(pinned) AS pinned FROM share GROUP BY id
  ORDER BY 3 DESC, 2 DESC, id LIMIT {spec.top_n}
),
detailed AS (
  SELECT id, jsonb_object_agg(leg, extra
    || jsonb_build_object('rank', rank, 'score', score, 'contribution', contribution)) AS legs
  FROM (SELECT id, leg, rank, score, contribution, {_extra(legs)} AS extra
        FROM share WHERE id IN (SELECT id FROM fused)) s GROUP BY id
)
SELECT f.id, row_number() OVER (ORDER BY f.pinned DESC, f.score DESC, f.id) AS position, f.score,
  least(1, f.score / {_ceiling(spec, list(legs))!r})::float8 AS score_norm,
  %s::jsonb || jsonb_build_object('pinned', f.pinned > 0, 'legs', d.legs) AS detail
FROM fused f JOIN detailed d ON d.id = f.id"""
    return Sql(text, [*params, json.dumps(_about(scope, spec, parsed, list(legs)))])


def _running(scope: Scope, spec: SearchSpec) -> dict[str, Sql]:
    """The legs that have something to go by, in the order in which they may refer to each other."""
    plan = scope.plan
    running: dict[str, Sql] = {}
    if "lexical" in spec.legs and plan.terms:
        running["lexical"] = lexical(scope)
    if "dense" in spec.legs and plan.vector:
        running["dense"] = dense(scope)
    if "identifier" in spec.legs and plan.tokens:
        identified = identifier(scope, list(running))
        if identified:
            running["identifier"] = identified
    return running


def _vector_type(scope: Scope) -> str:
    return f"{scope.corpus.kind}({scope.corpus.dimensions})"


def _share(leg: str, spec: SearchSpec) -> str:
    """What a leg gives to each record that it found; one that it did not find gets nothing."""
    weight = repr(spec.weight(leg))
    value = {
        "rrf": f"{weight} / ({spec.k} + rank)",
        "norm": f"{weight} * greatest(score, 0) / nullif(max(greatest(score, 0)) OVER (), 0)",
        "dbsf": f"{weight} * least(1, greatest(0, coalesce(0.5 + (score - avg(score) OVER ())"
        " / nullif(6 * stddev_samp(score) OVER (), 0), 0.5)))",
    }[spec.fusion]
    pinned = "pinned" if leg == "identifier" else "0"
    place = ("distance", "no", "start", "stop", "exact")
    columns = (
        place if leg == "dense" else ("NULL::float8", "NULL::int", "NULL::int", "NULL::int", "NULL::boolean")
    )
    extra = ", ".join(f"{column} AS {label}" for column, label in zip(columns, place, strict=True))
    return (
        f"SELECT id, '{leg}' AS leg, rank, score, coalesce({value}, 0)::float8 AS contribution, {pinned} AS pinned,"
        f" {extra} FROM {leg}"
    )


def _extra(legs: dict[str, Sql]) -> str:
    """What else a leg knows of the record."""
    if "dense" not in legs:
        return "'{}'::jsonb"
    return (
        "CASE leg WHEN 'dense' THEN jsonb_build_object('distance', distance, 'chunk', no, 'start', start, 'end', stop,"
        " 'exact', exact) ELSE '{}'::jsonb END"
    )


def _ceiling(spec: SearchSpec, legs: list[str]) -> float:
    """The score of a record that is first in every leg that ran."""
    total = sum(spec.weight(leg) for leg in legs)
    return total / (spec.k + 1) if spec.fusion == "rrf" else total


def _about(scope: Scope, spec: SearchSpec, parsed: ParsedQuery, legs: list[str]) -> dict[str, Any]:
    """What is the same for all hits of one search."""
    plan = scope.plan
    return {
        "index": scope.corpus.label,
        "query": parsed.text,
        "fusion": spec.fusion,
        "k": spec.k,
        "weights": {leg: spec.weight(leg) for leg in legs},
        "space": scope.corpus.space,
        "freshness": "in step" if scope.corpus.label else "not promised",
        "degraded": [leg for leg, _ in plan.degraded],
        "reasons": dict(plan.degraded),
        "strategy": _strategy(plan, legs),
    }


def _strategy(plan: Plan, legs: list[str]) -> dict[str, str]:
    ways = {
        "lexical": "pruned" if plan.pruned else "exact",
        "identifier": "exact",
        "dense": "exact" if plan.exact_vectors else "hnsw",
    }
    return {leg: ways[leg] for leg in legs}
