"""How the cost of a call came about, spelled out so that a person can check it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import Q

from lockstep.llm.models import Call, Price, Rate

__all__ = ["Account", "Line", "account"]

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Line:
    what: str
    tokens: int
    price: Decimal
    """Per million tokens, in the currency of the price."""

    @property
    def amount(self) -> Decimal:
        return self.tokens * self.price / _MILLION


@dataclass(frozen=True)
class Account:
    price: Price
    rate: Rate | None
    """None where the price is in the currency of the ledger."""
    lines: list[Line]
    recorded: int | None
    """Millionths, as the ledger has them."""
    of_bound: bool

    @property
    def subtotal(self) -> Decimal:
        return sum((line.amount for line in self.lines), self.price.per_request)

    @property
    def converted(self) -> Decimal:
        return self.subtotal * (self.rate.rate if self.rate else 1)

    @property
    def micros(self) -> int:
        """Rounded half up, once."""
        return int((self.converted * _MILLION).quantize(Decimal(1), ROUND_HALF_UP))

    @property
    def agrees(self) -> bool:
        return self.recorded == self.micros


def account(call: Call, using: str) -> Account | None:
    """The arithmetic of a call, or of its bound where that is charged or still held; None: there is none."""
    if call.usage_source == Call.UsageSource.NONE or call.price_id is None or call.rate_id is None:
        return None
    prices = Price.objects.using(using)
    price = prices.filter(pk=call.price_id).first()
    rate = Rate.objects.using(using).filter(pk=call.rate_id).first() if call.rate_id else None
    if price is None or (call.rate_id and rate is None):
        return None
    if call.usage_source == Call.UsageSource.PROVIDER:
        return Account(price, rate, _used(call, price), call.cost_micros, of_bound=False)
    price = _dearest(call, price, list(prices.filter(_may_be(call, price))))
    return Account(price, rate, _bound(call, price), call.bound_micros, of_bound=True)


def _used(call: Call, price: Price) -> list[Line]:
    read, written = call.cache_read_tokens or 0, call.cache_write_tokens or 0
    fresh = max((call.input_tokens or 0) - read - written, 0)
    lines = [
        Line("input", fresh, price.input),
        Line(
            "input read from the cache", read, price.input if price.cache_read is None else price.cache_read
        ),
        Line(
            "input written to the cache",
            written,
            price.input if price.cache_write is None else price.cache_write,
        ),
        Line("output, reasoning included", call.output_tokens or 0, price.output),
    ]
    return [line for line in lines if line.tokens]


def _bound(call: Call, price: Price) -> list[Line]:
    dearest = max(price.input, price.cache_read or 0, price.cache_write or 0)
    return [
        Line("input at most, at its dearest", call.bound_input, Decimal(dearest)),
        Line("output at most", call.bound_output, price.output),
    ]


def _may_be(call: Call, price: Price) -> Q:
    """Rows that the call could have ended in, as ``lockstep_llm_bound_v1`` has them."""
    same = Q(
        provider=price.provider, model=price.model, source=price.source, currency=price.currency,
        min_input_tokens__lte=call.bound_input,
    )  # fmt: skip
    held = Q(valid_from__lte=call.at) & (Q(valid_to=None) | Q(valid_to__gt=call.at))
    return same & (Q(pk=price.pk) | held)


def _dearest(call: Call, price: Price, candidates: list[Price]) -> Price:
    def most(row: Price) -> Decimal:
        return sum((line.amount for line in _bound(call, row)), row.per_request)

    return max(candidates, key=most, default=price)
