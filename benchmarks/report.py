"""What a benchmark hands back: a table for people and JSON with stable keys for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: a key of an arm, a heading and how a number is printed. ``a/b`` is key b of figure a."""

    key: str
    heading: str
    form: str = "{:.1f}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure with the least (or most) that it should be."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        return {
            "name": self.name,
            "value": plain(self.value),
            **{key: value for key, value in limits.items() if value is not None},
            "met": self.met,
        }

    def __str__(self) -> str:
        limit = f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"
        return f"{'met ' if self.met else 'MISSED'} {self.name}: {self.value:.3g} ({limit})"


@dataclass(slots=True)
class Report:
    """Figures of one run.

    ``arms`` maps arm -> key -> figure and is written as it is; ``recipe`` says what was run, so that the same
    command gives the same figures again; ``extra`` is merged into the top level of the JSON.
    """

    benchmark: str
    columns: Sequence[Column]
    arms: dict[str, dict[str, Any]]
    recipe: dict[str, Any] = field(default_factory=dict)
    peer: str | None = None
    """The arm that ``peer_key`` is compared with in the table."""
    peer_key: str = "p50_ms"
    skipped: dict[str, str] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "machine": self.machine,
            "recipe": plain(self.recipe),
            "arms": plain(self.arms),
            "skipped": dict(self.skipped),
            "bars": [bar.as_json() for bar in self.bars],
            "notes": list(self.notes),
            **plain(self.extra),
        }

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        parts = [
            f"{self.benchmark}: " + ", ".join(f"{key} {value}" for key, value in self.recipe.items()),
            ", ".join(f"{key} {value}" for key, value in self.machine.items()),
            "",
            *self._table(),
            "",
            *(f"skipped {arm}: {reason}" for arm, reason in self.skipped.items()),
            *(str(bar) for bar in self.bars),
            *self.notes,
        ]
        return "\n".join(parts).rstrip() + "\n"

    def _table(self) -> list[str]:
        headings = ["arm", *(column.heading for column in self.columns)]
        if self.peer in self.arms:
            headings.append(f"x {self.peer}")
        rows = [self._row(arm, figures) for arm, figures in self.arms.items()]
        return aligned([headings, *rows])

    def _row(self, arm: str, figures: Mapping[str, Any]) -> list[str]:
        cells = [arm, *(_cell(_figure(figures, column.key), column.form) for column in self.columns)]
        if self.peer in self.arms:
            base, value = self.arms[self.peer].get(self.peer_key), figures.get(self.peer_key)
            cells.append(_cell(value / base if base and value is not None else None, "{:.2f}"))
        return cells


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right, a rule under the headings."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()

    return [line(rows[0]), "  ".join("-" * width for width in widths), *(line(row) for row in rows[1:])]


def plain(value: Any) -> Any:
    """What JSON can carry: numpy numbers become Python's, NaN becomes null, floats keep six decimals."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    number: Callable[[], Any] | None = getattr(value, "item", None)
    if number is not None:
        value = number()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _figure(figures: Mapping[str, Any], key: str) -> Any:
    first, _, rest = key.partition("/")
    return _figure(figures.get(first) or {}, rest) if rest else figures.get(first)


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return value if isinstance(value, str) else form.format(value)
