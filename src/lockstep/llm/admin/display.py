"""Figures as people read them."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["amount", "duration", "money", "number"]

_SYMBOLS = {"GBP": "£", "USD": "$", "EUR": "€", "JPY": "¥", "INR": "₹"}


def money(micros: int | Decimal, currency: str, *, exact: bool = False) -> str:
    """Millionths as an amount: £12.30, £0.0042, £0.000017; ``exact`` shows all six digits."""
    units = Decimal(micros) / 1_000_000
    if exact:
        digits = 6
    elif abs(units) >= 1 or not units:
        digits = 2
    else:
        digits = 4 if abs(units) >= Decimal("0.0001") else 6
    return amount(units, currency, digits)


def amount(units: Decimal, currency: str, digits: int) -> str:
    sign = "-" if units < 0 else ""
    return f"{sign}{_SYMBOLS.get(currency, currency + ' ')}{abs(units):,.{digits}f}"


def number(count: int) -> str:
    return f"{count:,}"


def duration(ms: float) -> str:
    """820 ms, 1.4 s, 2 min 5 s."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    return f"{int(ms // 60_000)} min {int(ms % 60_000 // 1000)} s"
