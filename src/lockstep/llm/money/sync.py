"""Bring list prices in step with the installed ``genai-prices``; history stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from lockstep.core.conf import nearest
from lockstep.llm.models.money import ALWAYS, Price
from lockstep.llm.money.exceptions import PriceError
from lockstep.llm.money.snapshot import (
    Line,
    PriceList,
    known_models,
    known_providers,
    lists_of,
    priced_as,
)

__all__ = ["Synced", "sync"]


@dataclass
class Synced:
    """What one provider's sync did."""

    models: int = 0
    """Models that have a price now."""
    inserted: int = 0
    closed: int = 0
    unpriced: list[str] = field(default_factory=list)
    """Models that genai-prices knows and has no price per token for: free, by the minute, by the page, or unknown."""


def sync(
    provider: str,
    *,
    models: Collection[str] = (),
    now: datetime | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Synced:
    """Insert what is new and close what changed, for all models of a provider or those named.

    A change with a date holds from that date, also one in the future; a figure that merely differs from last time
    holds from now on. What was recorded about the past is not touched.

    Raises:
        PriceError: genai-prices knows no such provider or model.
    """
    wanted = _wanted(provider, models)
    now = now or datetime.now(UTC)
    done = Synced()
    with transaction.atomic(using), connections[using].cursor() as cursor:
        # two syncs would both insert; readers go on
        cursor.execute("LOCK TABLE lockstep_llm_price IN SHARE ROW EXCLUSIVE MODE")
        prices = Price.objects.using(using)
        recorded: dict[str, list[Price]] = {}
        for row in prices.filter(provider=provider, source=Price.Source.LIST).order_by("id"):
            recorded.setdefault(row.model, []).append(row)
        rows: list[Price] = []
        for name, lists in wanted.items():
            if not lists:
                done.unpriced.append(name)
                continue
            done.models += 1
            plan = Plan(lists, recorded.get(name, ()))
            plan.make(now)
            for moment, keys in plan.closings.items():
                done.closed += prices.filter(pk__in=keys).close(moment)
            rows += (
                Price(provider=provider, model=name, source=Price.Source.LIST, **new) for new in plan.rows()
            )
        prices.bulk_create(rows, batch_size=500)
    done.inserted = len(rows)
    return done


def _wanted(provider: str, models: Collection[str]) -> dict[str, list[PriceList]]:
    try:
        known = known_models(provider)
    except LookupError:
        raise PriceError(
            f"genai-prices has no provider {provider!r}. {nearest(provider, set(known_providers()))} "
            f"Prices of your own: manage.py lockstep_prices set {provider} MODEL --input … --output …",
            provider=provider,
        ) from None
    chosen = set()
    for model in models:
        name = priced_as(provider, model)
        if name not in known:
            raise PriceError(
                f"genai-prices has no model {model!r} of {provider}. {nearest(model, set(known))}",
                provider=provider,
                model=model,
            )
        chosen.add(name)
    return {name: lists_of(model) for name, model in known.items() if not chosen or name in chosen}


@dataclass
class Period:
    """A line and when it holds. ``row`` is None for one that is still to be inserted."""

    line: Line
    note: str
    start: datetime
    end: datetime | None
    row: Price | None = None

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or self.end > moment)


class Plan:
    """What to insert and to close so that one model's rows say, from now on, what its price lists say."""

    def __init__(self, lists: Sequence[PriceList], recorded: Iterable[Price]) -> None:
        self.lists = lists
        self.periods = [
            Period(_line(row), row.note, row.valid_from, row.valid_to, row)
            for row in recorded
            if row.valid_to != row.valid_from  # withdrawn before it ever held
        ]
        self.closings: dict[datetime, list[int]] = {}

    def make(self, now: datetime) -> None:
        if not self.periods:
            for listed in self.lists:
                self._insert(listed, listed.valid_from)
            return
        known = max((period.start for period in self.periods if period.start <= now), default=ALWAYS)
        moments = {listed.valid_from for listed in self.lists if listed.valid_from > known}
        moments |= {period.start for period in self.periods if period.start > now}
        for moment in sorted(moments | {now}):
            listed = [each for each in self.lists if each.valid_from <= moment][-1]
            if self._holding(moment) != set(listed.lines):
                self._close(moment)
                self._insert(listed, moment)

    def rows(self) -> list[dict[str, object]]:
        return [
            asdict(period.line) | {"valid_from": period.start, "valid_to": period.end, "note": period.note}
            for period in self.periods
            if period.row is None
        ]

    def _holding(self, moment: datetime) -> set[Line]:
        """As the SQL function chooses: of what covers the moment, the list that began last."""
        covering = [period for period in self.periods if period.covers(moment)]
        newest = max((period.start for period in covering), default=None)
        return {period.line for period in covering if period.start == newest}

    def _close(self, moment: datetime) -> None:
        for period in self.periods:
            if period.covers(moment) and (period.row is None or period.end is None):
                period.end = moment
                if period.row is not None:
                    self.closings.setdefault(moment, []).append(period.row.pk)

    def _insert(self, listed: PriceList, moment: datetime) -> None:
        end = next((later.valid_from for later in self.lists if later.valid_from > moment), None)
        self.periods += [Period(line, listed.note, moment, end) for line in listed.lines]


def _line(row: Price) -> Line:
    return Line(**{each.name: getattr(row, each.name) for each in fields(Line)})
