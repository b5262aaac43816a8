"""Findings: where in a text something stands that must not be kept, and of what type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Span", "united"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text, in code points."""

    start: int
    end: int
    type: str
    """Ordinary name in capitals: ``NHS``, ``EMAIL``. It becomes the placeholder."""
    validated: bool = False
    """A check digit or a known value confirms it."""
    distance: int = 10_000
    """Characters to the word that names it; large when none does."""

    def stronger(self, other: Span) -> bool:
        """The rule for the type where findings overlap: validated beats not validated, longer beats shorter,
        a nearer label beats a farther one, then the earlier wins."""
        return self._rank() > other._rank()

    def _rank(self) -> tuple[bool, int, int, int]:
        return self.validated, self.end - self.start, -self.distance, -self.start


def united(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans become one: all of the text that any of them covers, with the type of the strongest.

    Nothing that a detector found stays readable, whichever finding wins.
    """
    found: list[Span] = []
    strongest: Span | None = None
    for span in sorted(spans, key=lambda one: (one.start, one.end)):
        if found and strongest and span.start < found[-1].end:
            end = max(found[-1].end, span.end)
            strongest = span if span.stronger(strongest) else strongest
            found[-1] = replace(strongest, start=found[-1].start, end=end)
        else:
            found.append(span)
            strongest = span
    return found
