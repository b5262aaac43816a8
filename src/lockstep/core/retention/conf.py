"""The ``retention`` section of ``LOCKSTEP``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from lockstep.core.conf import Section
from lockstep.core.ports import Retained

__all__ = ["RetentionSettings", "lifetimes", "settings"]

KEYS = {"keep_days", "most_days"}
MOST_DAYS = 3660
"""Ten years: more is no retention, and each day is a partition."""


@dataclass(frozen=True)
class RetentionSettings:
    """How long content is kept, and who owns its tables."""

    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Model label -> ``{"keep_days": 30, "most_days": 90}``: the usual lifetime of a row, and the longest that the
    database accepts. ``migrate`` writes them there. What is left out is as the app declares it."""
    owner: str = ""
    """Role that owns the tables where it is another than the application's (level B). Empty: they are one (level A)."""

    def __post_init__(self) -> None:
        for label, limit in self.limits.items():
            if not isinstance(limit, Mapping) or set(limit) - KEYS:
                raise ValueError(f'limits[{label!r}] must be {{"keep_days": 30, "most_days": 90}}.')
            for key, days in limit.items():
                if not isinstance(days, int | float) or not 0 < days <= MOST_DAYS:
                    raise ValueError(
                        f"limits[{label!r}][{key!r}] must be a number of days, {MOST_DAYS} at most."
                    )


section = Section("retention", RetentionSettings)


def settings() -> RetentionSettings:
    return section.get()


def lifetimes(retained: Retained) -> tuple[timedelta, timedelta] | None:
    """The usual and the longest lifetime of a table's rows; None when nobody says."""
    said = settings().limits.get(retained.model, {})
    keep = timedelta(days=said["keep_days"]) if "keep_days" in said else retained.keep
    most = timedelta(days=said["most_days"]) if "most_days" in said else retained.most
    if keep is None and most is None:
        return None
    longest = most or keep
    usual = keep or most
    assert longest is not None and usual is not None  # noqa: PT018
    return min(usual, longest), longest
