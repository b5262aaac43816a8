"""What the spend page shows: figures as text, each with the way to its calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from django.utils import timezone

from lockstep.llm.admin import links
from lockstep.llm.admin.chart import COLOURS, Chart, chart
from lockstep.llm.admin.days import Days, period, today
from lockstep.llm.admin.dimensions import DIMENSIONS
from lockstep.llm.admin.display import duration, money, number
from lockstep.llm.admin.spend import OTHERS, Spend, Sums, spend
from lockstep.llm.conf import settings

__all__ = ["Row", "SpendPage"]


@dataclass(frozen=True)
class Row:
    label: str
    url: str
    colour: int | None
    sums: Sums
    cells: list[tuple[str, str, str]]
    """Column, text, where it leads."""


@dataclass(frozen=True)
class SpendPage:
    name: str
    """Of the period."""
    days: Days
    by: str
    only: Mapping[str, str]

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> SpendPage:
        name, days = period(query.get("period", "30"))
        by = query.get("by", "feature")
        only = {key: query[key] for key in DIMENSIONS if key in query}
        return cls(name, days, by if by in DIMENSIONS or by == "day" else "feature", only)

    @cached_property
    def spend(self) -> Spend:
        chosen = settings()
        return spend(self.days, self.by, only=self.only, currency=chosen.currency, using=chosen.database)

    # --- choosing ---------------------------------------------------------------------------------

    def url(self, **changes: str) -> str:
        return links.spend(**{"period": self.name, "by": self.by, **self.only, **changes})

    @property
    def csv_url(self) -> str:
        return self.url(format="csv")

    @property
    def periods(self) -> list[tuple[str, str, bool]]:
        month = today().replace(day=1)
        earlier = [month := (month - timedelta(days=1)).replace(day=1) for _ in range(2)]
        offered = {"7": "7 days", "30": "30 days", "90": "90 days", "month": "This month"}
        offered |= {f"{month:%Y-%m}": f"{month:%B}" for month in earlier}
        if self.name not in offered:
            offered[self.name] = f"{self.days.first:%B %Y}"
        return [(label, self.url(period=name), name == self.name) for name, label in offered.items()]

    @property
    def groupings(self) -> list[tuple[str, str, bool]]:
        offered = {name: dimension.title for name, dimension in DIMENSIONS.items()} | {"day": "day"}
        return [(label.capitalize(), self.url(by=name), name == self.by) for name, label in offered.items()]

    @property
    def narrowed(self) -> list[tuple[str, str]]:
        """What the page is narrowed to, and the page without that."""
        plain = {"period": self.name, "by": self.by}
        return [
            (
                f"{DIMENSIONS[name].title}: {DIMENSIONS[name].label(key)}",
                links.spend(**plain, **{other: self.only[other] for other in self.only if other != name}),
            )
            for name, key in self.only.items()
        ]

    @property
    def zone(self) -> str:
        return timezone.get_current_timezone_name()

    # --- showing ----------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        return "Day" if self.by == "day" else DIMENSIONS[self.by].title.capitalize()

    @cached_property
    def chart(self) -> Chart | None:
        return chart(self.spend, self.label, self.said)

    @cached_property
    def rows(self) -> list[Row]:
        return [self._row(number, key, sums) for number, (key, sums) in enumerate(self.spend.groups.items())]

    @cached_property
    def total(self) -> Row:
        return Row(
            "Total", self.calls_url(), None, self.spend.total, self._cells(self.spend.total, self._query())
        )

    @property
    def segments(self) -> Iterator[tuple[object, str]]:
        """Bars of the chart, each with the calls behind it."""
        for bar in self.chart.bars if self.chart else []:
            for segment in bar.segments:
                yield segment, self.calls_url(segment.key, bar.day)

    def label(self, key: str) -> str:
        if key == OTHERS:
            return "others"
        if self.by == "day":
            day = date.fromisoformat(key)
            return f"{day:%a} {day.day} {day:%b %Y}"
        return DIMENSIONS[self.by].label(key)

    def said(self, figure: float, measure: str) -> str:
        if measure == "cost":
            return money(round(figure), settings().currency)
        return f"{figure:,.0f} calls" if figure != 1 else "1 call"

    def calls_url(self, key: str | None = None, day: date | None = None) -> str:
        return self._to_calls(self._query(key, day), state="sent")

    @cached_property
    def _calls(self) -> str:
        return links.calls()

    def _to_calls(self, query: dict[str, str], **more: str) -> str:
        return links.with_query(self._calls, query | more)

    def _query(self, key: str | None = None, day: date | None = None) -> dict[str, str]:
        query = {**self.only, "day": str(Days(day, day) if day else self.days)}
        if self.by == "day" and key:
            query["day"] = key
        elif self.by != "day" and key is not None and key != OTHERS:
            query[self.by] = key
        return query

    def _row(self, place: int, key: str, sums: Sums) -> Row:
        colour = None if self.by == "day" else min(place, COLOURS)
        query = self._query(key)
        return Row(self.label(key), "" if key == OTHERS else self.calls_url(key), colour, sums,
                   self._cells(sums, {} if key == OTHERS else query))  # fmt: skip

    def _cells(self, sums: Sums, query: dict[str, str]) -> list[tuple[str, str, str]]:
        currency = settings().currency

        def counted(count: int, **more: str) -> tuple[str, str]:
            return (number(count) if count else "—"), (
                self._to_calls(query, **more) if count and query else ""
            )

        def paid(value: float | None) -> str:
            return "—" if value is None else money(round(value), currency)

        def waited(share: float) -> str:
            value = sums.latency_ms(share)
            return "—" if value is None else duration(float(f"{value:.2g}"))

        return [
            ("Cost", paid(sums.cost) if sums.priced > 0 else "—", ""),
            ("Calls", *counted(sums.calls, state="sent")),
            ("Cost per call", paid(sums.per_call), ""),
            ("Cost per resolved", paid(sums.per_resolved) if sums.reported else "—", ""),
            ("Tokens in", number(sums.input), ""),
            ("Tokens out", number(sums.output), ""),
            ("p50", waited(0.5), ""),
            ("p95", waited(0.95), ""),
            ("Failed", *counted(sums.errors, outcome="error", state="settled")),
            ("Lapsed", *counted(sums.lapsed, state="lapsed")),
            ("Unpriced", *counted(sums.unpriced, cost="unpriced")),
        ]

    # --- downloading ------------------------------------------------------------------------------

    @property
    def file_name(self) -> str:
        return f"spend-{self.by}-{self.days.first}-{self.days.last}.csv"

    def table(self) -> Iterator[list[str]]:
        """Plain figures, one row a group, in units of the currency and milliseconds."""
        code = settings().currency
        yield [
            self.by, "calls", "failed", "lapsed", "refused", "under_way", "unpriced", "other_currency", "input_tokens",
            "output_tokens", f"cost_{code}", f"cost_per_call_{code}", "resolved", f"cost_per_resolved_{code}",
            "p50_ms", "p95_ms",
        ]  # fmt: skip
        for key, sums in [*self.spend.groups.items(), ("total", self.spend.total)]:
            yield [
                _safe("others" if key == OTHERS else key), str(sums.calls), str(sums.errors), str(sums.lapsed),
                str(sums.refused), str(sums.under_way), str(sums.unpriced), str(sums.foreign), str(sums.input),
                str(sums.output), _units(sums.cost), _units(sums.per_call), str(sums.resolved),
                _units(sums.per_resolved), _whole(sums.latency_ms(0.5)), _whole(sums.latency_ms(0.95)),
            ]  # fmt: skip


def _safe(text: str) -> str:
    """A spreadsheet takes no name for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _units(micros: float | None) -> str:
    return "" if micros is None else f"{round(micros) / 1_000_000:.6f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
