"""Which models in use have no price, or a price in a currency without a rate; and the line that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import DEFAULT_DB_ALIAS

from lockstep.core import features
from lockstep.core.features import FeatureSpec
from lockstep.llm.models.money import Price
from lockstep.llm.money import lookup
from lockstep.llm.money.snapshot import known_models, priced_as

__all__ = ["Unpriced", "unpriced"]


@dataclass(frozen=True)
class Unpriced:
    """A model whose calls would be recorded without a cost."""

    feature: str
    provider: str
    model: str
    why: str
    mend: str
    """The command to type, with … where a person has to fill in."""

    def __str__(self) -> str:
        return f"{self.provider}:{self.model} ({self.feature}): {self.why}."


def unpriced(
    currency: str,
    *,
    at: datetime | None = None,
    specs: Iterable[FeatureSpec] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> list[Unpriced]:
    """Declared features whose default model has no price or no rate into ``currency`` at that moment."""
    at = at or datetime.now(UTC)
    found = []
    for spec in features.declared() if specs is None else specs:
        provider, colon, model = spec.model.partition(":")
        if colon:
            why, mend = _reason(provider, model, currency, at, using)
            if why:
                found.append(Unpriced(spec.name, provider, model, why, mend))
    return found


def _reason(provider: str, model: str, currency: str, at: datetime, using: str) -> tuple[str, str]:
    price = lookup.price_id(provider, priced_as(provider, model), at, using=using)
    if price is None:
        return "no price", _price_line(provider, model, currency)
    base = Price.objects.using(using).values_list("currency", flat=True).get(pk=price)
    if lookup.rate_id(base, currency, at, using=using) is None:
        return f"no exchange rate from {base} to {currency}", _rate_line(base, currency, at.date())
    return "", ""


def _price_line(provider: str, model: str, currency: str) -> str:
    try:
        listed = priced_as(provider, model) in known_models(provider)
    except LookupError:
        listed = False
    if listed:
        return f"manage.py lockstep_prices sync --provider {provider}"
    return f"manage.py lockstep_prices set {provider} {model} --input … --output … --currency {currency}"


def _rate_line(base: str, quote: str, on: date) -> str:
    return f"manage.py lockstep_prices rate {base} {quote} … --on {on} --source …"
