"""Prices and rates that a person records: contracts, tariffs of one's own machines, exchange rates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import F, Min

from lockstep.llm.models.money import Price, Rate
from lockstep.llm.money.exceptions import PriceError
from lockstep.llm.money.snapshot import priced_as

__all__ = ["set_price", "set_rate"]

_MOST = 1_000_000


def set_price(
    provider: str,
    model: str,
    *,
    input: Decimal,  # noqa: A002  the name of the column
    output: Decimal,
    cache_read: Decimal | None = None,
    cache_write: Decimal | None = None,
    per_request: Decimal = Decimal(0),
    min_input_tokens: int = 0,
    currency: str = "USD",
    source: str = Price.Source.CONTRACT,
    since: datetime | None = None,
    note: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> Price:
    """Record a price; the open row of the same source that it replaces ends where this one begins.

    Amounts are per million tokens. A row with ``min_input_tokens`` is a tier of the price that is there, in its
    currency; one without replaces the whole price, tiers included.

    Raises:
        PriceError: a figure is negative, too large, too fine, the currency is no three capital letters, or the
            price that a tier belongs to is not there.
    """
    amounts = {
        "input": input, "output": output, "cache_read": cache_read, "cache_write": cache_write,
        "per_request": per_request,
    }  # fmt: skip
    for name, amount in amounts.items():
        if amount is not None:
            _amount(name, amount)
    if min_input_tokens < 0:
        raise PriceError(f"min_input_tokens must be 0 or more, not {min_input_tokens}.")
    since = since or datetime.now(UTC)
    if since.tzinfo is None:
        raise PriceError("since must be an aware datetime: write the time zone, too.")
    prices = Price.objects.using(using)
    same = prices.filter(provider=provider, model=priced_as(provider, model), source=source)
    if min_input_tokens:
        if not same.at(since).filter(min_input_tokens=0, currency=currency).exists():
            raise PriceError(
                f"A tier belongs to a price: first record what {provider}:{model} costs below it "
                f"in {currency}, from {since:%Y-%m-%d} or before, without a smallest input."
            )
        same = same.filter(min_input_tokens=min_input_tokens)
    with transaction.atomic(using):
        same.filter(valid_from__lte=since).close(since)
        later = same.filter(valid_from__gt=since).exclude(valid_to=F("valid_from"))
        until = later.aggregate(first=Min("valid_from"))["first"]
        return prices.create(
            provider=provider,
            model=priced_as(provider, model),
            source=source,
            currency=_currency(currency),
            min_input_tokens=min_input_tokens,
            valid_from=since,
            valid_to=until,
            note=note,
            **amounts,
        )


def set_rate(
    base: str, quote: str, rate: Decimal, *, on: date, source: str, using: str = DEFAULT_DB_ALIAS
) -> Rate:
    """Record an exchange rate: so many ``quote`` for one ``base``, from that day (UTC) on.

    Raises:
        PriceError: the rate is no positive number with at most nine decimals, or the currencies are wrong.
    """
    base, quote = _currency(base), _currency(quote)
    if base == quote:
        raise PriceError(f"A rate stands between two currencies; from {base} to {base} nothing is changed.")
    if rate <= 0:
        raise PriceError(f"rate must be above 0, not {rate}.")
    _amount("rate", rate, most=999_999_999)
    if not source.strip():
        raise PriceError("A rate needs its source: who published it?")
    return Rate.objects.using(using).create(base=base, quote=quote, rate=rate, on_date=on, source=source)


def _amount(name: str, value: Decimal, *, most: int = _MOST) -> None:
    if not value.is_finite() or value < 0:
        raise PriceError(f"{name} must be a number of 0 or more, not {value}.")
    if value > most:
        raise PriceError(f"{name} must be at most {most:,}, not {value}: amounts are per million tokens.")
    if value != round(value, 9):
        raise PriceError(f"{name} has more than nine decimals: {value}.")


def _currency(code: str) -> str:
    if not re.fullmatch("[A-Z]{3}", code):
        raise PriceError(f"{code!r} is no currency code: write three capital letters, such as GBP.")
    return code
