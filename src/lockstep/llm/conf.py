"""The ``llm`` section of ``LOCKSTEP``: values and dotted paths only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lockstep.core.conf import Section

__all__ = ["LlmSettings", "settings"]

LEAST_DAYS = 62
"""A budget's month, and the one before it."""
MOST_DAYS = 36_600


def _default_providers() -> Mapping[str, Mapping[str, Any]]:
    return {
        "openai": {"BACKEND": "lockstep.llm.providers.openai.OpenAI"},
        "anthropic": {"BACKEND": "lockstep.llm.providers.anthropic.Anthropic"},
        "standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"},
    }


@dataclass(frozen=True)
class LlmSettings:
    """How models are reached, and how their calls are recorded."""

    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=_default_providers)
    """Shaped like ``CACHES``: alias -> ``{"BACKEND": dotted path, "OPTIONS": {...}, "DATA_CLASS": "personal"}``.
    A model is written ``alias:name``. DATA_CLASS is the most sensitive data that may go there; without one
    all may."""
    database: str = "default"
    """Alias of the database that holds the ledger; it is written on a connection of its own."""
    pooler: str = "session"
    """``transaction`` behind PgBouncer in transaction mode: nothing is prepared then."""
    currency: str = "GBP"
    """ISO 4217 code of every figure in the ledger."""
    attempts: int = 3
    """Requests for one call at most, the first included. Each is a row."""
    timeout_s: float = 60.0
    """Longest wait for one request."""
    max_output_tokens: int = 4096
    """Limit of an answer where neither caller nor prompt sets one. It bounds what a call may cost."""
    lapse_after_s: float = 900.0
    """After this long a call that never came back counts as spent at its bound."""
    durable_reserve: bool = False
    """Wait for the disk before a request leaves. Without it a crash of the whole server may forget the requests of its
    last second that had not come back."""
    keep_days: float | None = 396.0
    """So old rows of the ledger get, in days: 13 months. None keeps them for ever."""
    cohort: str | None = None
    """Dotted path of ``(user) -> str``, the group that spend and experiments are compared by."""
    allow_langsmith: bool = False
    """Whether LangChain may trace to LangSmith, which sends every prompt out of the house."""

    def __post_init__(self) -> None:
        if not isinstance(self.providers, Mapping):
            raise ValueError("providers must be a dict of aliases, shaped like CACHES.")
        for alias, entry in self.providers.items():
            if not isinstance(entry, Mapping) or not isinstance(entry.get("BACKEND"), str):
                raise ValueError(
                    f'providers[{alias!r}] must be {{"BACKEND": "dotted.path", "OPTIONS": {{...}}}}.'
                )
            if ":" in alias:
                raise ValueError(f"providers[{alias!r}]: an alias has no colon; it stands before one.")
        if self.pooler not in ("session", "transaction"):
            raise ValueError("pooler must be 'session' or 'transaction'.")
        if not re.fullmatch("[A-Z]{3}", str(self.currency)):
            raise ValueError("currency must be a code of ISO 4217, such as 'GBP'.")
        for name in ("attempts", "max_output_tokens"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1.")
        for name in ("timeout_s", "lapse_after_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds.")
        days = self.keep_days
        if days is not None and (
            isinstance(days, bool) or not isinstance(days, int | float) or not LEAST_DAYS <= days <= MOST_DAYS
        ):
            raise ValueError(
                f"keep_days must be a number of days from {LEAST_DAYS}, which budgets and alerts look back, to"
                f" {MOST_DAYS}; or None, for ever."
            )
        if self.lapse_after_s <= self.timeout_s:
            raise ValueError(
                "lapse_after_s must be longer than timeout_s: a call that may still come has not lapsed."
            )


section = Section("llm", LlmSettings)


def settings() -> LlmSettings:
    """The current values; ``override_settings`` is obeyed."""
    return section.get()
