"""What stands in place of a finding: ``[NHS_1]``, the same for the same value throughout one call."""

from __future__ import annotations

import re

__all__ = ["MASK", "PLACEHOLDER", "TAKEN", "Placeholders"]

PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]{0,48})_(\d{1,5})\??\]")
MASK = "\ufffc"
"""Fills the place of a finding while the rest of its text is looked at again."""
TAKEN = re.compile(rf"{PLACEHOLDER.pattern}|{MASK}+")
"""What is no text any more."""
SEPARATORS = re.compile(r"[\W_]+")


class Placeholders:
    """Numbers the values of one call.

    What already looks like a placeholder in a text stays as it is, and its number is not given to a value any more.
    When it looks like one that was given before, it becomes ``[NHS_1?]``: the question mark says that the
    text brought it along.
    """

    def __init__(self) -> None:
        self._ours: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = {}
        self._foreign: set[tuple[str, int]] = set()

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value; spelling and separators make no other value."""
        key = kind, SEPARATORS.sub("", value).casefold()
        number = self._ours.get(key)
        if number is None:
            number = self._last.get(kind, 0) + 1
            while (kind, number) in self._foreign:
                number += 1
            self._ours[key] = self._last[kind] = number
        return f"[{kind}_{number}]"

    def foreign(self, found: re.Match[str]) -> str:
        """What becomes of a placeholder that a text brought along."""
        kind, number = found[1], int(found[2])
        if (kind, number) not in self._foreign and number <= self._last.get(kind, 0):
            return f"[{kind}_{found[2]}?]"
        self._foreign.add((kind, number))
        return found[0]
