"""What a token of one's own machine costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from lockstep.llm.money.exceptions import PriceError

__all__ = ["Tariff", "tariff"]


@dataclass(frozen=True)
class Tariff:
    """Prices per million tokens, in the currency of the hour's cost."""

    input: Decimal
    output: Decimal


def tariff(
    gpu_hour_cost: Decimal | int | str,
    tokens_per_s: Decimal | int | str,
    *,
    input_tokens_per_s: Decimal | int | str | None = None,
    gpus: int = 1,
    utilisation: Decimal | int | str = 1,
) -> Tariff:
    """A price per token from the cost of a GPU hour and a measured throughput.

    Args:
        gpu_hour_cost: one GPU's hour with all that it needs: rent or depreciation, power, people.
        tokens_per_s: tokens a second of the whole server. With ``input_tokens_per_s``: of the output alone.
        input_tokens_per_s: prompt tokens a second, measured by themselves; None charges both alike.
        gpus: GPUs of the server.
        utilisation: the part of the hours paid for in which the server works, above 0 up to 1.

    Returns:
        Per million tokens, rounded half up to nine decimals (what a row holds).

    Raises:
        PriceError: an argument is no positive number, or ``utilisation`` is above 1.
    """
    cost = _positive("gpu_hour_cost", gpu_hour_cost) * _positive("gpus", gpus)
    share = _positive("utilisation", utilisation)
    if share > 1:
        raise PriceError(f"utilisation must lie above 0 and be at most 1, not {utilisation}.")
    out = _positive("tokens_per_s", tokens_per_s)
    read = out if input_tokens_per_s is None else _positive("input_tokens_per_s", input_tokens_per_s)
    return Tariff(input=_per_million(cost, read * share), output=_per_million(cost, out * share))


def _per_million(hour_cost: Decimal, tokens_per_s: Decimal) -> Decimal:
    return (hour_cost * 1_000_000 / (tokens_per_s * 3600)).quantize(Decimal("1e-9"), ROUND_HALF_UP)


def _positive(name: str, value: Decimal | int | str) -> Decimal:
    try:
        number = Decimal(value)
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0:
        raise PriceError(f"{name} must be a positive number, not {value!r}.")
    return number
