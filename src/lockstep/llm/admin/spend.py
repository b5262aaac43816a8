"""What was spent, by day and by whatever calls are told apart by: one statement, whatever the size of the ledger."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.db import connections

from lockstep.llm.admin.days import Days
from lockstep.llm.admin.dimensions import DIMENSIONS

__all__ = ["MOST", "OTHERS", "Spend", "Sums", "spend"]

MOST = 100
"""Groups of the table; the rest is one more row."""
OTHERS = "\0others"
"""Key of that row."""
_FINE = 20
"""Latencies are counted in steps of e^(1/20), 5 %: a percentile is right within 3 %."""


@dataclass
class Sums:
    """Figures of some calls. A request is a call: three attempts are three."""

    calls: int = 0
    """Sent, or at least charged; not those that the door refused."""
    errors: int = 0
    lapsed: int = 0
    refused: int = 0
    under_way: int = 0
    unpriced: int = 0
    foreign: int = 0
    """In another currency than the ledger's today; not in ``cost``."""
    input: int = 0
    output: int = 0
    cost: int = 0
    """Millionths."""
    reported: int = 0
    resolved: int = 0
    latencies: Counter[int] = field(default_factory=Counter)

    def __iadd__(self, other: Sums) -> Sums:
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies.update(other.latencies)
        return self

    @property
    def priced(self) -> int:
        return self.calls - self.unpriced - self.under_way - self.foreign

    @property
    def per_call(self) -> float | None:
        return self.cost / self.priced if self.priced > 0 else None

    @property
    def per_resolved(self) -> float | None:
        return self.cost / self.resolved if self.resolved else None

    def latency_ms(self, share: float) -> float | None:
        """The latency that so many calls did not exceed; None when none came back."""
        wanted, seen = share * self.latencies.total(), 0
        for step in sorted(self.latencies):
            seen += self.latencies[step]
            if seen >= wanted:
                return math.exp((step + 0.5) / _FINE)
        return None


_COLUMNS = [entry.name for entry in fields(Sums) if entry.name != "latencies"]


@dataclass
class Spend:
    days: Days
    by: str
    """Name of a dimension, or ``day``."""
    groups: dict[str, Sums]
    """The dearest first; days in order."""
    cells: dict[tuple[int, str], Sums]
    """Number of the day and group -> figures, for the chart."""
    total: Sums


# Each day is a range of the index, and its groups are few: nothing is sorted but what is already counted, and names
# are compared only once there is one row a day and group.
_STATEMENT = """
WITH cells AS MATERIALIZED (
    SELECT ({key}) AS key, (period.day - 1)::int AS day, part.*
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS period (since, until, day)
    CROSS JOIN LATERAL (
        SELECT {columns}floor(ln(greatest(latency_ms, 1)::float8) * {fine})::int AS step,
            count(*) FILTER (WHERE state <> 'refused') AS calls,
            count(*) FILTER (WHERE state = 'settled' AND outcome = 'error') AS errors,
            count(*) FILTER (WHERE state = 'lapsed') AS lapsed,
            count(*) FILTER (WHERE state = 'refused') AS refused,
            count(*) FILTER (WHERE state = 'reserved') AS under_way,
            count(*) FILTER (WHERE cost_micros IS NULL AND state IN ('settled', 'lapsed')) AS unpriced,
            count(*) FILTER (WHERE cost_micros IS NOT NULL AND state <> 'refused' AND currency <> %(currency)s)
                AS "foreign",
            coalesce(sum(input_tokens), 0) AS input, coalesce(sum(output_tokens), 0) AS output,
            coalesce(sum(cost_micros) FILTER (WHERE currency = %(currency)s), 0) AS cost,
            count(*) FILTER (WHERE result <> '') AS reported, count(*) FILTER (WHERE result = 'resolved') AS resolved
        FROM lockstep_llm_call WHERE at >= period.since AND at < period.until{where}
        GROUP BY {columns}step
    ) AS part
), days AS MATERIALIZED (
    SELECT key, day, {sums} FROM cells GROUP BY key, day
), places AS (
    SELECT key, CASE WHEN row_number() OVER (ORDER BY sum(cost) DESC, sum(calls) DESC, key) <= {most} THEN key END
        AS kept
    FROM days GROUP BY key
)
SELECT kept, day, NULL::int AS step, {sums} FROM days JOIN places USING (key) GROUP BY kept, day
UNION ALL
SELECT kept, NULL, step, sum(calls), {zeros}
FROM (SELECT key, step, sum(calls) AS calls FROM cells WHERE step IS NOT NULL GROUP BY key, step) AS steps
JOIN places USING (key) GROUP BY kept, step
"""


def spend(days: Days, by: str, *, only: Mapping[str, str] | None = None, currency: str, using: str) -> Spend:
    """Figures of a period.

    Args:
        by: a name of ``DIMENSIONS``, or ``day``.
        only: dimension -> key, to which the calls are narrowed.
        currency: of the ledger; costs in another one are counted and not added.
    """
    bounds = days.bounds()
    where, values = _where(only or {})
    values |= {"starts": bounds[:-1], "ends": bounds[1:], "currency": currency}
    with connections[using].cursor() as cursor:
        cursor.execute(_statement(by, where), values)
        rows = cursor.fetchall()
    return _read(days, by, rows)


def _statement(by: str, where: str) -> str:
    columns = DIMENSIONS[by].columns if by in DIMENSIONS else ()
    separator = DIMENSIONS[by].separator if columns else ""
    return _STATEMENT.format(
        key=f" || '{separator}' || ".join(f"part.{name}" for name in columns) or "(period.day - 1)::text",
        columns="".join(f"{name}, " for name in columns),
        fine=_FINE,
        most=MOST,
        where=where,
        sums=", ".join(f'sum("{name}")::bigint AS "{name}"' for name in _COLUMNS),
        zeros=", ".join("0" for _ in _COLUMNS[1:]),
    )


def _where(only: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    parts, values = [], {}
    for name, key in only.items():
        for lookup, value in DIMENSIONS[name].lookup(key).items():
            column, _, prefix = lookup.partition("__")
            mark = f"%({name}_{column})s"
            parts.append(f" AND starts_with({column}, {mark})" if prefix else f" AND {column} = {mark}")
            values[f"{name}_{column}"] = value.replace("\0", "")
    return "".join(parts), values


def _read(days: Days, by: str, rows: list[tuple[Any, ...]]) -> Spend:
    groups: dict[str, Sums] = {}
    cells: dict[tuple[int, str], Sums] = {}
    dates = [str(day) for day in days]
    for key, day, step, *figures in rows:
        name = OTHERS if key is None else dates[int(key)] if by == "day" else key
        group = groups.setdefault(name, Sums())
        if step is not None:
            group.latencies[step] += int(figures[0])
            continue
        cell = Sums()
        for column, figure in zip(_COLUMNS, figures, strict=True):
            setattr(cell, column, int(figure))
        cells[day, name] = cell
        group += cell
    total = Sums()
    for group in groups.values():
        total += group
    if by == "day":
        ordered = sorted(groups)
    else:
        ordered = sorted(
            groups, key=lambda name: (name == OTHERS, -groups[name].cost, -groups[name].calls, name)
        )
    return Spend(days, by, {name: groups[name] for name in ordered}, cells, total)
