"""Days in the active time zone, as a period of the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.utils import timezone

__all__ = ["Days", "midnight", "period", "today"]

_DAY = timedelta(days=1)
_PERIODS = {"7": 7, "30": 30, "90": 90}


def today() -> date:
    return datetime.now(timezone.get_current_timezone()).date()


def midnight(day: date) -> datetime:
    """The instant at which a day begins here; days of 23 and of 25 hours included."""
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())


@dataclass(frozen=True)
class Days:
    """From one day to another, both included."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> Days:
        """``2026-11-22`` or ``2026-11-01..2026-11-22``.

        Raises:
            ValueError: no such days, or not within 2000 and 2199.
        """
        first, dots, last = text.partition("..")
        days = cls(date.fromisoformat(first), date.fromisoformat(last if dots else first))
        if not 2000 <= days.first.year <= days.last.year < 2200 or days.first > days.last:
            raise ValueError(f"{text!r} is no period.")
        return days

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def __iter__(self) -> Iterator[date]:
        day = self.first
        while day <= self.last:
            yield day
            day += _DAY

    def bounds(self) -> list[datetime]:
        """Where each day begins, and where the last one ends."""
        return [midnight(day) for day in [*self, self.last + _DAY]]


def period(name: str) -> tuple[str, Days]:
    """What the chooser of the spend page names: 7, 30, 90 (days until today), month, 2026-10. Else 30 days."""
    now = today()
    if name == "month":
        return name, Days(now.replace(day=1), now)
    if re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", name):
        first = date.fromisoformat(f"{name}-01")
        return name, Days(first, (first + 31 * _DAY).replace(day=1) - _DAY)
    name = name if name in _PERIODS else "30"
    return name, Days(now - (_PERIODS[name] - 1) * _DAY, now)
