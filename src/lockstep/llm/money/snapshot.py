"""List prices as the installed ``genai-prices`` has them: package data, read offline.

Its own calculation is mirrored: the last condition that is met decides, start dates are midnights in UTC, hours of
the day may run over midnight, and a tier that the input *exceeds* charges the whole usage, input and output.
``genai_prices.data`` is the data of the package itself, so an auto-update that someone else switches on in this
process changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lockstep.llm.models.money import ALWAYS
from lockstep.llm.money import place

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider

__all__ = ["Line", "PriceList", "known_models", "known_providers", "lists_of", "priced_as", "release"]

_DIGITS = Decimal("1e-9")
_CHARGED = {
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok", "requests_kcount",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One row of a price list; amounts per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    per_request: Decimal = Decimal(0)
    min_input_tokens: int = 0
    daily_from: time | None = None
    daily_to: time | None = None
    currency: str = "USD"


@dataclass(frozen=True)
class PriceList:
    """Everything that one model costs from a moment on."""

    valid_from: datetime
    lines: tuple[Line, ...]
    note: str = ""


def release() -> str:
    """``genai-prices 0.2.3``."""
    return f"genai-prices {version('genai-prices')}"


def _providers() -> list[Provider]:
    from genai_prices.data import providers

    return providers


def _provider(alias: str) -> Provider | None:
    """By its id, or the id that the settings name: an alias that merely contains "openai" may be anybody's server."""
    wanted = place.listed_as(alias)
    return next((provider for provider in _providers() if provider.id == wanted), None)


def known_providers() -> list[str]:
    return sorted(provider.id for provider in _providers())


@lru_cache(maxsize=4096)
def priced_as(provider: str, model: str) -> str:
    """The name under which prices of a model are kept; a model nobody knows keeps its own.

    Dated and aliased names are matched by the rules of genai-prices: ``gpt-5-mini-2025-08-07`` is priced as
    ``gpt-5-mini``. Remembered by the process, first use of which reads the package's data (about a second).
    """
    seller = _provider(provider)
    found = seller and seller.find_model(model, all_providers=_providers())
    return _name(seller, found) if seller and found else model


def known_models(provider: str) -> dict[str, ModelInfo]:
    """Name -> model: the provider's own, and those of others that it resells at their price.

    Raises:
        LookupError: genai-prices has no such provider.
    """
    seller = _provider(provider)
    if seller is None:
        raise LookupError(provider)
    resold = [
        model
        for other in seller.fallback_model_providers or ()
        for provider in _providers()
        if provider.id == other
        for model in provider.models
    ]
    named: dict[str, ModelInfo] = {}
    for model in (*seller.models, *resold):
        named.setdefault(_name(seller, model), model)
    return named


def _name(seller: Provider, model: ModelInfo) -> str:
    """The model's id. One that is resold, and whose id the seller gives to another model, takes its maker's name."""
    own = any(model is mine for mine in seller.models)
    if own or all(mine.id != model.id for mine in seller.models):
        return model.id
    maker = next(other.id for other in _providers() if any(model is theirs for theirs in other.models))
    return f"{maker}/{model.id}"


def lists_of(model: ModelInfo) -> list[PriceList]:
    """The model's price lists, oldest first; none when it is not priced by the token."""
    conditions = _conditions(model)
    starts = {begins for condition in conditions if (begins := _begins(condition))}
    lists = [_list(conditions, start) for start in (None, *sorted(starts))]
    return lists if all(listed.lines for listed in lists) else []


def _conditions(model: ModelInfo) -> list[ConditionalPrice]:
    from genai_prices.types import ConditionalPrice

    return model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]


def _begins(condition: ConditionalPrice) -> date | None:
    from genai_prices.types import StartDateConstraint

    constraint = condition.constraint
    return constraint.start_date if isinstance(constraint, StartDateConstraint) else None


def _list(conditions: list[ConditionalPrice], start: date | None) -> PriceList:
    """What holds from ``start`` on: the last condition that is met, and the hours of the day that come after it."""
    base, hours = conditions[0], []
    for condition in reversed(conditions):
        begins = _begins(condition)
        if condition.constraint is not None and begins is None:
            hours.append(condition)
        elif begins is None or (start is not None and begins <= start):
            base = condition
            break
    lines = [line for condition in (base, *reversed(hours)) for line in _lines(condition)]
    moment = datetime.combine(start, time(), UTC) if start else ALWAYS
    return PriceList(moment, tuple(lines), _note(base.prices))


def _lines(condition: ConditionalPrice) -> Iterator[Line]:
    """One line for each tier. A price without an amount per input token, or with none at all, has no line."""
    prices = condition.prices
    if prices.input_mtok is None:
        return
    daily_from, daily_to = _hours(condition)
    for threshold in _thresholds(prices):
        written = prices.cache_write_mtok
        if written is None:
            written = prices.cache_write_5m_mtok
        yield Line(
            input=_amount(prices.input_mtok, threshold) or Decimal(0),
            output=_amount(prices.output_mtok, threshold) or Decimal(0),
            cache_read=_amount(prices.cache_read_mtok, threshold),
            cache_write=_amount(written, threshold),
            per_request=_amount(prices.requests_kcount, threshold, per=1000) or Decimal(0),
            min_input_tokens=threshold,
            daily_from=daily_from,
            daily_to=daily_to,
        )


def _hours(condition: ConditionalPrice) -> tuple[time | None, time | None]:
    from genai_prices.types import TimeOfDateConstraint

    constraint = condition.constraint
    if not isinstance(constraint, TimeOfDateConstraint):
        return None, None
    return _utc(constraint.start_time), _utc(constraint.end_time)


def _utc(value: time) -> time:
    """The time of day in UTC, naive; a naive one is UTC already."""
    if value.tzinfo is None:
        return value
    return datetime.combine(date(1970, 1, 2), value).astimezone(UTC).time()


def _thresholds(prices: ModelPrice) -> list[int]:
    """Smallest inputs at which a tier holds. genai-prices: more than ``start``; our rows: at least."""
    starts = {tier.start + 1 for price in vars(prices).values() for tier in getattr(price, "tiers", ())}
    return [0, *sorted(starts)]


def _amount(price: Any, input_tokens: int, *, per: int = 1) -> Decimal | None:
    if price is None:
        return None
    if hasattr(price, "tiers"):
        reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
        price = reached[-1] if reached else price.base
    return (Decimal(price) / per).quantize(_DIGITS, ROUND_HALF_UP)


def _note(prices: ModelPrice) -> str:
    """Where it comes from, and what this price list does not charge for: audio, images, searches, longer caches."""
    rest = sorted(key for key, price in vars(prices).items() if price is not None and key not in _CHARGED)
    return f"{release()}; not charged: {', '.join(rest)}" if rest else release()
