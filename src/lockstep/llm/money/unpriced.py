"""Which models in use have no price, or a price in a currency without a rate; and the line that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count

from lockstep.core import features
from lockstep.core.features import FeatureSpec
from lockstep.llm.models.call import Call
from lockstep.llm.models.money import Price
from lockstep.llm.money import lookup
from lockstep.llm.money.snapshot import known_models, priced_as

__all__ = ["Unpriced", "unpriced", "unpriced_calls"]


@dataclass(frozen=True)
class Unpriced:
    """A model whose calls would be recorded without a cost."""

    used_by: str
    """The feature, or how many calls."""
    provider: str
    model: str
    why: str
    mend: str
    """The command to type, with … where a person has to fill in."""

    def __str__(self) -> str:
        return f"{self.provider}:{self.model} ({self.used_by}): {self.why}."


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


def unpriced_calls(
    currency: str, *, days: int = 30, at: datetime | None = None, using: str = DEFAULT_DB_ALIAS
) -> list[Unpriced]:
    """Models of recent calls that have no cost, and would have none if they were made again.

    Finds what no declaration names: a model of a release, of an embedder, of code that chooses itself.
    """
    at = at or datetime.now(UTC)
    models = (
        Call.objects.using(using)
        .unpriced()
        .filter(at__gte=at - timedelta(days=days))
        .order_by("provider", "request_model")
        .values_list("provider", "request_model")
        .annotate(calls=Count("id"))
    )
    found = []
    for provider, model, calls in models:
        why, mend = _reason(provider, model, currency, at, using)
        if why:
            found.append(Unpriced(f"{calls} calls in {days} days", provider, model, why, mend))
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
