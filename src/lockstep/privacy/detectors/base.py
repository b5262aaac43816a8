"""The protocol of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lockstep.privacy.spans import Span

__all__ = ["Detector"]


class Detector(Protocol):
    """Looks for one kind of finding. Built once, with OPTIONS as keyword arguments; threads share it."""

    version: str
    """Stands in every ``Redacted`` that it helped to make; changes with what is found."""

    reach: int | None
    """Farthest that a finding of several words, with the words that decide about it, goes, in characters. None: it may
    look at the whole text, so that a stream is held back to its end."""

    def find(self, text: str) -> Sequence[Span]:
        """Findings in a text that was normalised: within it, not empty, none overlapping another."""
        ...
