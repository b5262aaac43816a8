"""The settings that money needs."""

from __future__ import annotations

from lockstep.core import features
from lockstep.core.conf import all_settings

__all__ = ["aliases", "currency", "database", "used"]


def currency() -> str:
    """Currency of the ledger."""
    return str(all_settings().get("llm", {}).get("currency", "GBP"))


def database() -> str:
    """Alias of the database that the ledger and its prices live in."""
    return str(all_settings().get("llm", {}).get("database", "default"))


def aliases() -> set[str]:
    """Providers that the settings name."""
    return set(all_settings().get("llm", {}).get("providers", {}))


def used() -> set[str]:
    """Providers that the settings or a declared feature name."""
    models = (spec.model.partition(":") for spec in features.declared())
    return aliases() | {provider for provider, colon, _ in models if colon}
