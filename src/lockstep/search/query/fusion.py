"""One ranking out of several: reciprocal ranks, top-normalised sum, or distribution-based scores."""

from __future__ import annotations

import json
from typing import Any

from lockstep.search.query.legs import Scope, Sql, dense, identifier, lexical
from lockstep.search.query.plan import Plan
from lockstep.search.query.spec import SearchSpec

__all__ = ["NothingToSearch", "ranking"]


class NothingToSearch(Exception):
    """No leg has anything to go by: only stop words, say, and the dense leg is off."""


def ranking(scope: Scope, spec: SearchSpec, plan: Plan) -> Sql:
    """The ranking statement: ``(id, position, score, score_norm, detail)`` of the best ``top_n`` records.

    Raises:
        NothingToSearch: no leg can run.
    """
    legs = _running(scope, spec, plan)
    if not legs:
        raise NothingToSearch
    parts, params = [], []
    for leg, sql in legs.items():
        parts.append(f"{leg} AS MATERIALIZED ({sql.text})")
        params += sql.params
    union = " UNION ALL ".join(_contribution(leg, spec) for leg in legs)
    detail = json.dumps(_about(scope, spec, plan, list(legs)))
    text = f"""WITH {", ".join(parts)},
fused AS (
  SELECT id, sum(contribution) AS score, bool_or(pinned) AS pinned,
    jsonb_object_agg(leg, detail || jsonb_build_object('contribution', contribution)) AS legs
  FROM ({union}) c GROUP BY id
  ORDER BY bool_or(pinned) DESC, sum(contribution) DESC, id LIMIT {spec.top_n}
)
SELECT id, row_number() OVER (ORDER BY pinned DESC, score DESC, id) AS position, score,
  least(1, score / {_ceiling(spec, list(legs))!r})::float8 AS score_norm,
  jsonb_build_object('legs', legs, 'pinned', pinned) || %s::jsonb AS detail
FROM fused"""
    return Sql(text, [*params, detail])


def _running(scope: Scope, spec: SearchSpec, plan: Plan) -> dict[str, Sql]:
    running: dict[str, Sql] = {}
    if "lexical" in spec.legs and plan.terms:
        running["lexical"] = lexical(scope, plan)
    if "identifier" in spec.legs and plan.tokens and scope.corpus.identified:
        running["identifier"] = identifier(scope, plan)
    if "dense" in spec.legs and plan.vector:
        running["dense"] = dense(scope, plan)
    return running


def _contribution(leg: str, spec: SearchSpec) -> str:
    weight = repr(spec.weight(leg))
    value = {
        "rrf": f"{weight} / ({spec.k} + rank)",
        "norm": f"{weight} * greatest(score, 0) / nullif(max(greatest(score, 0)) OVER (), 0)",
        "dbsf": f"{weight} * least(1, greatest(0, coalesce(0.5 + (score - avg(score) OVER ())"
        " / nullif(6 * stddev_samp(score) OVER (), 0), 0.5)))",
    }[spec.fusion]
    detail = "'rank', rank, 'score', score"
    if leg == "dense":
        detail += ", 'distance', distance, 'chunk', no, 'start', start, 'end', stop"
    pinned = "pinned" if leg == "identifier" else "false"
    return (
        f"SELECT id, coalesce({value}, 0)::float8 AS contribution, {pinned} AS pinned, '{leg}' AS leg,"
        f" jsonb_build_object({detail}) AS detail FROM {leg}"
    )


def _ceiling(spec: SearchSpec, legs: list[str]) -> float:
    """The score of a record that is first in every leg that ran."""
    total = sum(spec.weight(leg) for leg in legs)
    return total / (spec.k + 1) if spec.fusion == "rrf" else total


def _about(scope: Scope, spec: SearchSpec, plan: Plan, legs: list[str]) -> dict[str, Any]:
    """What is the same for all hits of one search."""
    return {
        "index": scope.corpus.label,
        "query": scope.parsed.text,
        "fusion": spec.fusion,
        "k": spec.k,
        "weights": {leg: spec.weight(leg) for leg in legs},
        "space": scope.corpus.space,
        "degraded": list(plan.degraded),
        "strategy": {
            "lexical": "exact" if plan.exact_words else "pruned",
            "dense": "exact" if plan.exact_vectors else "hnsw",
        },
    }
