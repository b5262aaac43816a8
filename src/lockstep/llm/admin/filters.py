"""Filters of the list of calls. Their parameters are short and stable: other pages link here by URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from lockstep.llm.admin.days import Days, today
from lockstep.llm.admin.dimensions import DIMENSIONS, Dimension
from lockstep.llm.admin.display import amount
from lockstep.llm.conf import settings
from lockstep.llm.models import Call

__all__ = ["FILTERS"]


class _Folded(SimpleListFilter):
    template = "lockstep/llm/filter.html"
    opened: ClassVar[bool] = False
    """Unfolded from the start, whether something is chosen or not."""


class _DimensionFilter(_Folded):
    """Offers what recent calls have; takes anything."""

    dimension: ClassVar[Dimension]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        recent: list[str] = model_admin.recent(request)[self.dimension.name]  # type: ignore[attr-defined]
        chosen = self.value()
        keys = recent if chosen is None or chosen in recent else [chosen, *recent]
        return [(key, self.dimension.label(key)) for key in keys]

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        key = self.value()
        return queryset if key is None else queryset.filter(**self.dimension.lookup(key.replace("\0", "")))


class _Fixed(_Folded):
    """Some named conditions."""

    options: ClassVar[dict[str, tuple[str, Q]]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        name = self.value()
        if name is None:
            return queryset
        if name not in self.options:
            raise IncorrectLookupParameters(f"{self.parameter_name}={name}")
        return queryset.filter(self.options[name][1])


class RunFilter(_Folded):
    """Shown only where a link has chosen a run."""

    title, parameter_name = "run", "run"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(run, run)] if (run := self.value()) else []

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        return queryset.filter(run=(self.value() or "").replace("\0", ""))


class StateFilter(_Fixed):
    title, parameter_name = "state", "state"
    options = {state.value: (state.label, Q(state=state)) for state in Call.State} | {
        "sent": ("all but refused", ~Q(state=Call.State.REFUSED))
    }


class OutcomeFilter(_Fixed):
    title, parameter_name = "outcome", "outcome"
    opened = True
    options = {outcome.value: (outcome.label, Q(outcome=outcome)) for outcome in Call.Outcome}


class ResultFilter(_Fixed):
    title, parameter_name = "business outcome", "result"
    options = {
        "resolved": ("resolved", Q(result="resolved")),
        "other": ("something else", ~Q(result__in=["", "resolved"])),
        "none": ("not reported", Q(result="")),
    }


class LatencyFilter(_Fixed):
    title, parameter_name = "latency", "latency"
    options = {
        "1s": ("under 1 s", Q(latency_ms__lt=1_000)),
        "5s": ("1 to 5 s", Q(latency_ms__gte=1_000, latency_ms__lt=5_000)),
        "20s": ("5 to 20 s", Q(latency_ms__gte=5_000, latency_ms__lt=20_000)),
        "long": ("20 s and more", Q(latency_ms__gte=20_000)),
    }


class CostFilter(_Fixed):
    title, parameter_name = "cost", "cost"
    options = {
        "unpriced": ("unpriced", Q(cost_micros=None, state__in=["settled", "lapsed"])),
        "free": ("nothing", Q(cost_micros=0)),
        "low": ("", Q(cost_micros__gt=0, cost_micros__lt=1_000)),
        "mid": ("", Q(cost_micros__gte=1_000, cost_micros__lt=10_000)),
        "high": ("", Q(cost_micros__gte=10_000, cost_micros__lt=100_000)),
        "top": ("", Q(cost_micros__gte=100_000)),
    }

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        low, mid, high = (self._amount(text) for text in ("0.001", "0.01", "0.10"))
        said = {
            "low": f"under {low}", "mid": f"{low} to {mid}", "high": f"{mid} to {high}", "top": f"{high} and more",
        }  # fmt: skip
        return [(name, label or said[name]) for name, (label, _) in self.options.items()]

    def _amount(self, text: str) -> str:
        from decimal import Decimal

        return amount(Decimal(text), settings().currency, len(text) - 2)


class DayFilter(_Folded):
    """A day or days in the active time zone."""

    title, parameter_name = "day", "day"
    opened = True

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        from datetime import timedelta

        now = today()
        offered = {
            str(Days(now, now)): "today",
            str(Days(now - timedelta(days=1), now - timedelta(days=1))): "yesterday",
            str(Days(now - timedelta(days=6), now)): "7 days",
            str(Days(now - timedelta(days=29), now)): "30 days",
        }
        chosen = self.value()
        if chosen and chosen not in offered:
            offered = {chosen: chosen.replace("..", " to ")} | offered
        return list(offered.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        chosen = self.value()
        if chosen is None:
            return queryset
        try:
            bounds = Days.parse(chosen).bounds()
        except ValueError as error:
            raise IncorrectLookupParameters(str(error)) from None
        return queryset.filter(at__gte=bounds[0], at__lt=bounds[-1])


def _dimensions() -> Iterator[type[_DimensionFilter]]:
    for dimension in DIMENSIONS.values():
        facts = {"dimension": dimension, "title": dimension.title, "parameter_name": dimension.name}
        yield type(f"{dimension.name.title()}Filter", (_DimensionFilter,), facts)


FILTERS: list[type[SimpleListFilter]] = [
    RunFilter, DayFilter, OutcomeFilter, *_dimensions(), StateFilter, CostFilter, LatencyFilter, ResultFilter,
]  # fmt: skip
