"""The settings that money needs."""

from __future__ import annotations

from lockstep.core import features
from lockstep.llm.conf import settings

__all__ = ["aliases", "currency", "database", "listed_as", "used"]


def currency() -> str:
    """Currency of the ledger."""
    return settings().currency


def database() -> str:
    """Alias of the database that the ledger and its prices live in."""
    return settings().database


def aliases() -> set[str]:
    """Providers that the settings name."""
    return set(settings().providers)


def listed_as(alias: str) -> str:
    """Id under which genai-prices lists the provider: its alias, unless its entry says otherwise.

    ``{"BACKEND": …, "PRICES": "openai"}`` takes the list prices of OpenAI, ``"PRICES": ""`` takes nobody's.
    """
    entry = settings().providers.get(alias, {})
    return str(entry.get("PRICES", alias)).lower()


def used() -> set[str]:
    """Providers that the settings or a declared feature name."""
    models = (spec.model.partition(":") for spec in features.declared())
    return aliases() | {provider for provider, colon, _ in models if colon}
