"""The four SQL functions of ``lockstep.llm.sql.money``, from Python."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

__all__ = ["bound_micros", "cost_micros", "price_id", "rate_id"]


def price_id(
    provider: str, model: str, at: datetime, input_tokens: int = 0, *, using: str = DEFAULT_DB_ALIAS
) -> int | None:
    """The price that holds for a call with so many input tokens; None: unpriced."""
    return _call(using, "lockstep_llm_price_v1(%s, %s, %s, %s)", provider, model, at, input_tokens)


def rate_id(base: str, quote: str, at: datetime, *, using: str = DEFAULT_DB_ALIAS) -> int | None:
    """The newest exchange rate on or before that day (UTC); 0 when the currencies are one, None: unknown."""
    return _call(using, "lockstep_llm_rate_v1(%s, %s, %s)", base, quote, at)


def cost_micros(
    price: int | None,
    rate: int | None,
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    using: str = DEFAULT_DB_ALIAS,
) -> int | None:
    """Millionths of the ledger's currency, rounded half up once; None when price or rate is unknown.

    ``input_tokens`` includes what was read from and written to the cache, ``output_tokens`` the reasoning.
    """
    tokens = (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
    return _call(using, "lockstep_llm_cost_v1(%s, %s, %s, %s, %s, %s)", price, rate, *tokens)


def bound_micros(
    price: int | None,
    rate: int | None,
    at: datetime,
    *,
    input_tokens: int,
    output_tokens: int,
    using: str = DEFAULT_DB_ALIAS,
) -> int | None:
    """What a call with at most so many tokens costs at most, in millionths; None when price or rate is unknown."""
    return _call(
        using, "lockstep_llm_bound_v1(%s, %s, %s, %s, %s)", price, rate, at, input_tokens, output_tokens
    )


def _call(using: str, function: str, *arguments: Any) -> int | None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {function}", arguments)
        found: int | None = cursor.fetchone()[0]
    return found
