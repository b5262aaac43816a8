"""The ``search`` section of ``LOCKSTEP``: values and dotted paths only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lockstep.core.conf import Section

__all__ = ["SearchSettings", "settings"]

MINILM = "lockstep.search.embedders.minilm.MiniLM"


def _default_embedders() -> Mapping[str, Mapping[str, Any]]:
    return {"default": {"BACKEND": MINILM}}


@dataclass(frozen=True)
class SearchSettings:
    """How text is embedded and searched."""

    embedders: Mapping[str, Mapping[str, Any]] = field(default_factory=_default_embedders)
    """Shaped like ``CACHES``: alias -> ``{"BACKEND": dotted path, "OPTIONS": {...}}``."""
    config: str = "english"
    """Text-search configuration of Postgres, used where an index names none."""
    query_timeout_s: float = 2.0
    """Longest wait for the embedding of a query; then the other legs answer alone."""
    write_timeout_s: float = 60.0
    """Longest wait for the embedding of ``batch_size`` texts outside a transaction; more texts, longer."""
    atomic_timeout_s: float = 5.0
    """Longest wait inside ``atomic()``, however many texts: row locks are held meanwhile."""
    batch_size: int = 64
    """Records that are embedded and committed together by bulk writes and ``lockstep_reembed``."""
    max_chunks: int = 1000
    """Chunks of one record that are embedded; the words of the rest are still found."""
    vector_memory: int = 2000
    """Vectors that one process remembers, so that ``prepare()`` and a retry are not paid for twice."""

    def __post_init__(self) -> None:
        if not isinstance(self.embedders, Mapping):
            raise ValueError("embedders must be a dict of aliases, shaped like CACHES.")
        if not isinstance(self.config, str):
            raise ValueError("config must be the name of a text-search configuration, such as 'english'.")
        for alias, entry in self.embedders.items():
            if not isinstance(entry, Mapping) or not isinstance(entry.get("BACKEND"), str):
                raise ValueError(
                    f'embedders[{alias!r}] must be {{"BACKEND": "dotted.path", "OPTIONS": {{...}}}}.'
                )
        for name in ("query_timeout_s", "write_timeout_s", "atomic_timeout_s"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds.")
        for name in ("batch_size", "max_chunks", "vector_memory"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1.")


section = Section("search", SearchSettings)


def settings() -> SearchSettings:
    """The current values; ``override_settings`` is obeyed."""
    return section.get()
