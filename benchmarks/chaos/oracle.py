"""What became of it all: by the book of the world outside, and by the order of rows in the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from benchmarks.chaos.graphs import EFFECTS
from benchmarks.chaos.marks import Mark
from benchmarks.chaos.part import Hit
from benchmarks.chaos.plan import PHASES

__all__ = ["begun_again", "bookings", "doubled_effects", "lost", "stale_writes", "two_owners"]

WRITES = """
    SELECT run_id, at, epoch FROM lockstep_workflows_checkpoint WHERE run_id IS NOT NULL
    UNION ALL SELECT run_id, at, epoch FROM lockstep_workflows_checkpointwrite WHERE run_id IS NOT NULL
    UNION ALL SELECT run_id, at, epoch FROM lockstep_workflows_nodeexecution
    UNION ALL SELECT run_id, at, epoch FROM lockstep_workflows_toolattempt
"""
STALE = f"""
    SELECT count(*) FROM (SELECT epoch, max(epoch) OVER (PARTITION BY run_id ORDER BY at
        RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES) AS latest FROM ({WRITES}) AS written) AS ordered
    WHERE epoch < latest
"""
OWNERS = """
    SELECT count(*) FROM (
        SELECT run_id, epoch FROM (
            SELECT run_id, epoch, worker FROM lockstep_workflows_nodeexecution WHERE status <> 'died'
            UNION ALL SELECT run_id, epoch, worker FROM lockstep_workflows_toolattempt
        ) AS signed GROUP BY run_id, epoch HAVING count(DISTINCT worker) > 1) AS shared
"""


def bookings(book: Iterable[Mark]) -> Counter[tuple[str, str]]:
    """(run, place) -> how often it was carried out."""
    return Counter((mark.run, mark.place) for mark in book if mark.moment == "booked")


def doubled_effects(booked: Counter[tuple[str, str]]) -> int:
    return sum(times - 1 for times in booked.values())


def lost(
    runs: Mapping[str, str],
    ended: Mapping[str, tuple[str, Any]],
    fault_free: Mapping[str, Any],
    booked: Counter[tuple[str, str]],
) -> dict[str, str]:
    """Runs that did not end as one that nobody disturbed, with what is wrong.

    Args:
        runs: run -> shape.
        ended: run -> status and result.
        fault_free: shape -> result.
    """
    found = {}
    for run, shape in runs.items():
        status, result = ended.get(run, ("missing", None))
        if status != "succeeded":
            found[run] = status
        elif result != fault_free[shape]:
            found[run] = "another state"
        elif any(not booked[run, place] for place in EFFECTS[shape]):
            found[run] = "an effect is missing"
    return found


def stale_writes(link: psycopg.Connection[Any]) -> int:
    """Rows that an earlier owner of a run wrote after a later one."""
    return _count(link, STALE)


def two_owners(link: psycopg.Connection[Any]) -> int:
    """Epochs of runs in which two processes did something."""
    return _count(link, OWNERS)


def begun_again(marks: Iterable[Mark], hits: Iterable[Hit]) -> Counter[str]:
    """Phase -> nodes that were begun once more after a blow in it."""
    struck: dict[str, list[Hit]] = {}
    for hit in hits:
        for run in {hit.run, *hit.owned}:
            struck.setdefault(run, []).append(hit)
    known: set[tuple[str, str]] = set()
    found: Counter[str] = Counter()
    for mark in sorted(marks):
        if mark.moment != "begun":
            continue
        if (mark.run, mark.place) in known:
            before = [hit for hit in struck.get(mark.run, []) if hit.at < mark.at]
            found[PHASES[before[-1].phase] if before else "no blow"] += 1
        known.add((mark.run, mark.place))
    return found


def _count(link: psycopg.Connection[Any], statement: str) -> int:
    row = link.execute(statement).fetchone()
    assert row is not None
    return int(row[0])
