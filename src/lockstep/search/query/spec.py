"""What a caller of ``hybrid_search`` asked for, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.core.conf import nearest
from lockstep.search.exceptions import QueryError

__all__ = ["FUSIONS", "LEGS", "SearchSpec", "spec_of"]

LEGS = ("lexical", "identifier", "dense")
FUSIONS = ("rrf", "norm", "dbsf")
MAX_TOP_N = 1_000
MAX_DEPTH = 1_000

DEFAULT_WEIGHTS = {"lexical": 1.0, "identifier": 1.0, "dense": 1.0}


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """The arguments of one search."""

    query: str
    k: int
    weights: tuple[tuple[str, float], ...]
    """(leg, weight) of the legs that run."""
    fusion: str
    top_n: int
    depth: int

    @property
    def legs(self) -> tuple[str, ...]:
        return tuple(leg for leg, _ in self.weights)

    def weight(self, leg: str) -> float:
        return dict(self.weights)[leg]


def spec_of(
    query: Any,
    *,
    k: int,
    weights: Mapping[str, float] | None,
    fusion: str,
    top_n: int,
    depth: int,
    legs: Sequence[str] | None,
) -> SearchSpec:
    """Check the arguments.

    Raises:
        QueryError: an argument means nothing; the text says what would.
    """
    if not isinstance(query, str):
        raise QueryError(f"The query must be a str, not {type(query).__name__}.")
    _whole("k", k, 1, None)
    _whole("top_n", top_n, 1, MAX_TOP_N)
    _whole("depth", depth, 1, MAX_DEPTH)
    if fusion not in FUSIONS:
        raise QueryError(f"fusion={fusion!r} is unknown. {nearest(str(fusion), FUSIONS)}")
    chosen = _legs(legs)
    given = DEFAULT_WEIGHTS | dict(weights or {})
    for leg, weight in given.items():
        if leg not in LEGS:
            raise QueryError(f"weights names no leg {leg!r}. {nearest(str(leg), LEGS)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise QueryError(
                f"weights[{leg!r}] = {weight!r} must be a positive number; leave a leg out with legs=."
            )
    return SearchSpec(
        query, k, tuple((leg, float(given[leg])) for leg in chosen), fusion, top_n, max(depth, top_n)
    )


def _legs(legs: Sequence[str] | None) -> list[str]:
    wanted = LEGS if legs is None else legs
    if isinstance(wanted, str) or not wanted:
        raise QueryError('legs is a list such as ["lexical", "dense"], with at least one name.')
    for leg in wanted:
        if leg not in LEGS:
            raise QueryError(f"There is no leg {leg!r}. {nearest(str(leg), LEGS)}")
    return [leg for leg in LEGS if leg in wanted]


def _whole(name: str, value: Any, low: int, high: int | None) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        reach = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise QueryError(f"{name}={value!r}: it must be a whole number {reach}.")
