"""Stacked bars by day, as numbers that a template draws. The table below says the same in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from lockstep.llm.admin.spend import OTHERS, Spend

__all__ = ["Bar", "Chart", "Segment", "chart"]

COLOURS = 6
"""Groups with a colour of their own; the rest is one more, grey."""
HEIGHT = 100.0
STEP = 10.0
"""Width of a day, its gap included."""


@dataclass(frozen=True)
class Segment:
    key: str
    label: str
    colour: int
    x: float
    y: float
    height: float
    said: str
    """``22 Nov 2026, support.answer: £1.20``."""


@dataclass
class Bar:
    day: date
    x: float
    left: float
    """Its middle, in percent of the width."""
    shown: bool
    """Whether there is room for its date."""
    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    legend: list[tuple[str, str, int]]
    """Key, label, colour."""
    marks: list[tuple[str, float]]
    """Lines across: what they stand for, and where."""
    width: float
    height: float
    measure: str
    """``cost``, or ``calls`` where nothing has a cost."""
    summary: str


def chart(spend: Spend, label: Callable[[str], str], said: Callable[[float, str], str]) -> Chart | None:
    """The bars of a period; None when there was no call.

    Args:
        label: name of a group.
        said: a figure of the measure as text.
    """
    if not spend.total.calls:
        return None
    measure = "cost" if spend.total.cost else "calls"
    own = [] if spend.by == "day" else [key for key in spend.groups if key != OTHERS][:COLOURS]
    by_day: list[dict[str, float]] = [{} for _ in spend.days]
    for (number, key), cell in spend.cells.items():
        by_day[number][key] = float(getattr(cell, measure))
    columns = [_column(day, own, together=spend.by == "day") for day in by_day]
    top = _nice(max(sum(column.values()) for column in columns))
    every = max(1, math.ceil(len(columns) / 8))
    bars = []
    for number, (day, column) in enumerate(zip(spend.days, columns, strict=True)):
        bar = Bar(day, number * STEP, (number + 0.5) / len(columns) * 100, shown=number % every == 0)
        base = HEIGHT
        for key, value in column.items():
            if value > 0:
                height = value / top * HEIGHT
                base -= height
                name = "all" if spend.by == "day" else "others" if key == OTHERS else label(key)
                text = f"{day:%-d %b %Y}, {name}: {said(value, measure)}"
                colour = own.index(key) if key in own else 0 if spend.by == "day" else COLOURS
                bar.segments.append(Segment(key, name, colour, bar.x + 1, base, height, text))
        bars.append(bar)
    legend = [(key, label(key), number) for number, key in enumerate(own)]
    if any(OTHERS in column for column in columns) and own:
        legend.append((OTHERS, "others", COLOURS))
    totals = [sum(column.values()) for column in columns]
    most = max(range(len(totals)), key=totals.__getitem__)
    summary = (
        f"Stacked bars, one a day. Together {said(sum(totals), measure)}; most on "
        f"{bars[most].day:%-d %b %Y}: {said(totals[most], measure)}. The table below has the figures."
    )
    marks = [(_short(said(top * part, measure)), HEIGHT * (1 - part)) for part in (1, 0.5, 0)]
    return Chart(bars, legend, marks, len(columns) * STEP, HEIGHT, measure, summary)


def _column(day: dict[str, float], own: list[str], *, together: bool) -> dict[str, float]:
    """One day: own groups in the order of the legend, then the others; as one where days are the groups."""
    if together:
        return {"": sum(day.values())}
    column = {key: day.pop(key, 0.0) for key in own}
    return column | ({OTHERS: sum(day.values())} if any(day.values()) else {})


def _short(amount: str) -> str:
    """£0.60 for £0.6000."""
    return re.sub(r"(\.\d\d\d*?)0+$", r"\1", amount)


def _nice(most: float) -> float:
    """The next number with a round half."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(
        step * power for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= most * 0.999999
    )
