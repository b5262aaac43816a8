"""Retrieval measures, as BEIR reports them, and a paired bootstrap.

All take one query's ranking (document keys, best first) and its judgements (document key -> score). An
unjudged document counts as score 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RELEVANT = 1
"""Lowest score that counts as found for recall."""


def ndcg(ranking: Sequence[str], judged: Mapping[str, int], *, depth: int = 10) -> float:
    """Normalised discounted cumulative gain with linear gain and a discount of log2(rank + 1), rank from 1.

    The ideal ranking holds every judged document, found or not. In [0, 1].

    Raises:
        ValueError: no document is judged above 0, so that no ideal exists; or a key is ranked twice.
    """
    _refuse_repeats(ranking)
    ideal = _dcg(sorted((max(s, 0) for s in judged.values()), reverse=True)[:depth])
    if not ideal:
        raise ValueError("no document is judged above 0: leave this query out")
    return _dcg([max(judged.get(key, 0), 0) for key in ranking[:depth]]) / ideal


def recall(ranking: Sequence[str], judged: Mapping[str, int], *, depth: int) -> float:
    """Share of the documents with score >= 1 that are among the first ``depth``. In [0, 1]."""
    _refuse_repeats(ranking)
    relevant = {key for key, score in judged.items() if score >= RELEVANT}
    if not relevant:
        raise ValueError("no document is judged above 0: leave this query out")
    return len(relevant.intersection(ranking[:depth])) / len(relevant)


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of ``a - b`` over the same queries, with a percentile interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.high < 0:
            return "below"
        return "above" if self.low > 0 else "no significant difference"


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 20_260_101,
) -> Difference:
    """Resample queries with replacement and take the percentiles of the mean difference.

    Args:
        a, b: one score per query, in the same order.
        level: coverage of the interval.

    Raises:
        ValueError: the two differ in length, or are empty.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993; Sakai, SIGIR 2006 for retrieval.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"{len(a)} and {len(b)} scores: one per query in both, at least one")
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    rng = np.random.default_rng(seed)
    means = np.array([rng.choice(differences, differences.size).mean() for _ in range(samples)])
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(differences.mean()), float(low), float(high))


def mean(values: Iterable[float]) -> float:
    """NaN for no values."""
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear interpolation between order statistics, as numpy does it. NaN for no values."""
    return float(np.percentile(values, percent)) if len(values) else math.nan


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _refuse_repeats(ranking: Sequence[str]) -> None:
    if len(set(ranking)) != len(ranking):
        raise ValueError("a document is ranked twice")
