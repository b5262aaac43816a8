"""The ``core`` section of ``LOCKSTEP``: values and dotted paths only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from lockstep.core.conf import Section, unknown_key

__all__ = ["LEVELS", "CoreSettings", "NotifySettings", "SinkEntry", "settings"]

LEVELS = ("info", "warning", "error", "critical")
"""Severities of a notice, the least first."""

ENTRY_KEYS = frozenset({"TOPICS", "LEAST", "PER_MINUTE"})
"""What the entry of a sink may hold besides BACKEND and OPTIONS."""


@dataclass(frozen=True)
class SinkEntry:
    """What a sink wants to be told."""

    topics: tuple[str, ...] = ("*",)
    """Patterns of topics, ``budgets.*``; one must match."""
    least: str = "info"
    """Least severity."""
    per_minute: int = 30
    """Messages in a minute at most; more of them wait their turn."""

    def wants(self, topic: str, severity: str) -> bool:
        loud = LEVELS.index(severity) >= LEVELS.index(self.least) if severity in LEVELS else True
        return loud and any(fnmatchcase(topic, pattern) for pattern in self.topics)


@dataclass(frozen=True)
class NotifySettings:
    """Who is told, and how long it is tried."""

    sinks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Shaped like ``CACHES``: alias -> ``{"BACKEND": dotted path, "OPTIONS": {...}, "TOPICS": ["budgets.*"],
    "LEAST": "warning", "PER_MINUTE": 30}``."""
    timeout_s: float = 15.0
    """Longest wait for one sink to take one message; then it is cut."""
    poll_s: float = 1.0
    """How often ``lockstep_notify --follow`` looks for new notices."""
    give_up_after_days: float = 7.0
    """Deliveries that failed for so long are dead: shown in the admin, tried no more."""
    keep_days: float = 90.0
    """Notices are deleted after so long, unless a delivery of theirs still waits."""

    def __post_init__(self) -> None:
        for name in ("timeout_s", "poll_s", "give_up_after_days", "keep_days"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"notify[{name!r}] must be a positive number.")
        if not isinstance(self.sinks, Mapping):
            raise ValueError("notify['sinks'] must be a dict of aliases, shaped like CACHES.")
        for alias, entry in self.sinks.items():
            _check_entry(alias, entry)

    def entry(self, alias: str) -> SinkEntry:
        raw = self.sinks[alias]
        return SinkEntry(
            tuple(raw.get("TOPICS", SinkEntry.topics)),
            raw.get("LEAST", SinkEntry.least),
            raw.get("PER_MINUTE", SinkEntry.per_minute),
        )


@dataclass(frozen=True)
class CoreSettings:
    """What no app above owns."""

    notify: NotifySettings = field(default_factory=NotifySettings)
    """A dict in the settings; its keys are those of ``NotifySettings``."""

    def __post_init__(self) -> None:
        if isinstance(self.notify, NotifySettings):
            return
        if not isinstance(self.notify, Mapping):
            raise ValueError("notify must be a dict.")
        known = {one.name for one in fields(NotifySettings)}
        for key in sorted(set(map(str, self.notify)) - known):
            raise ValueError(unknown_key("notify", key, known))
        object.__setattr__(self, "notify", NotifySettings(**self.notify))


def _check_entry(alias: Any, entry: Any) -> None:
    place = f"notify['sinks'][{alias!r}]"
    if not isinstance(alias, str) or not re.fullmatch(r"[\w-]{1,50}", alias):
        raise ValueError(f"{place}: an alias has letters, digits, - and _, at most 50.")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("BACKEND"), str):
        raise ValueError(f'{place} must be {{"BACKEND": "dotted.path", "OPTIONS": {{...}}}}.')
    for key in sorted(set(map(str, entry)) - ENTRY_KEYS - {"BACKEND", "OPTIONS"}):
        raise ValueError(unknown_key(place, key, set(ENTRY_KEYS | {"BACKEND", "OPTIONS"})))
    topics = entry.get("TOPICS", ["*"])
    if not isinstance(topics, list | tuple) or not topics or not all(isinstance(one, str) for one in topics):
        raise ValueError(f'{place}["TOPICS"] must be a list of patterns, such as ["budgets.*"].')
    if entry.get("LEAST", "info") not in LEVELS:
        raise ValueError(f'{place}["LEAST"] must be one of {", ".join(LEVELS)}.')
    most = entry.get("PER_MINUTE", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f'{place}["PER_MINUTE"] must be a whole number of at least 1.')


section = Section("core", CoreSettings)


def settings() -> CoreSettings:
    """The current values; ``override_settings`` is obeyed."""
    return section.get()
