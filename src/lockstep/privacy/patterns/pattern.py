"""One row of the pack, and how it finds its candidates in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Pattern"]

GROUP = re.compile(r"\d+")
NOT_PART = re.compile(r"[^A-Za-z0-9]+")
BEFORE, AFTER = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
BACK = 128
"""How far a form reaches back from where it is recognised (the part of an address before its @)."""
OPAQUE = "\ufffc"
"""Stands for a value that was found, where labels are looked for."""
LIST = 6
"""Characters between the values of a list at most."""
UNLABELLED = 10_000
"""Distance of a value that needs no word beside it."""
ALONE = 32
"""So many blanks around a value count as nothing around it."""


@dataclass(frozen=True)
class Pattern:
    """An identifier: its form, what confirms it, and the words that must stand near it."""

    type: str
    """Name in placeholders and counts."""
    form: str
    """Regular expression, linear: no repetition of a repetition that could share its characters."""
    check: Callable[[str], bool] | None = None
    """Whether the value (letters and digits only, in capitals, unless ``whole``) can be one."""
    sure: bool = False
    """The check is a check digit, so that the finding counts as validated."""
    label: str = ""
    """Words before it, one of which is needed; "" when the form is enough."""
    label_after: str = ""
    """Words that may follow it instead."""
    near: int = 40
    """How far before it the label may stand, in characters; a redacted value counts as one."""
    unless: str = ""
    """Words directly before it that say it is something else."""
    alone: bool = False
    """A text that is nothing but this value needs no label: it answers a question."""
    digits: tuple[int, int] | None = None
    """The form is a run of digit groups; each row of groups with so many digits is tried."""
    needs: tuple[str, ...] = ()
    """Literals, in small letters, one of which a text must have for this to be looked for anywhere in it. () looks only
    where ``begins`` says."""
    begins: str = "9"
    """What the value begins with, beside or in a word with digits: 9 a digit, A letters, M a month, + or ( the sign."""
    letters: tuple[int, int] = (1, 9)
    """How many letters may stand before its first digit, for what begins with letters."""
    stems: tuple[str, ...] = ()
    """Pieces of the labels, in small letters: a text without any of them is not searched."""
    least: int = 0
    """Digits that stand there in a row at least, for what begins with one."""
    back: re.Pattern[str] | None = None
    """What stands before the form and belongs to it; at least one character must."""
    whole: bool = False
    """The check wants the value as it stands."""
    border: tuple[str, str] = (BEFORE, AFTER)
    """What must not touch it."""
    flags: int = 0
    regex: re.Pattern[str] = field(init=False, repr=False)
    labels: re.Pattern[str] | None = field(init=False, repr=False)
    labels_after: re.Pattern[str] | None = field(init=False, repr=False)
    others: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        before, after = self.border
        compiled = re.compile(f"{before}(?:{self.form}){after}", self.flags)
        object.__setattr__(self, "regex", compiled)
        for name, words, form in (
            ("labels", self.label, r"(?<![a-z])(?:{})(?![a-z])"),
            ("labels_after", self.label_after, r"[\s\-–,(:]{{0,3}}(?:{})\b"),
            ("others", self.unless, r"\b(?:{})[\s:=#.]{{0,3}}$"),
        ):
            value = re.compile(form.format(words)) if words else None
            object.__setattr__(self, name, value)

    def anywhere(self, text: str) -> Iterator[tuple[int, int]]:
        """Pieces with the right form and check, wherever they begin."""
        start = 0
        while found := self.regex.search(text, start):
            first, last = found.span()
            start = first + 1
            if self.back:
                first -= _length_before(self.back, text, first)
                if first == found.start():
                    continue
            if self._checks(text[first:last]):
                yield first, last
                start = last

    def ends(self, found: re.Match[str]) -> Iterator[int]:
        """Where a piece that begins here may end, so that its check holds."""
        for end in _ends(found, self.digits) if self.digits else (found.end(),):
            if self._checks(found.string[found.start() : end]):
                yield end

    def _checks(self, value: str) -> bool:
        if self.check is None:
            return True
        return self.check(value if self.whole else NOT_PART.sub("", value).upper())

    def label_distance(self, before: str, after: str) -> int | None:
        """Characters to the nearest label; None when one is needed and none is near.

        Args:
            before, after: what surrounds the value, in small letters; ``near`` characters where there are as many.
        """
        if self.others and self.others.search(before):
            return None
        if self.labels is None:
            return UNLABELLED
        near = before[-self.near :]
        found = [match.end() for match in self.labels.finditer(near)]
        if found and not _used_up(near[found[-1] :]):
            return len(near) - found[-1]
        if self.labels_after and self.labels_after.match(after):
            return self.near
        if self.alone and not before[-ALONE:].strip() and not after[:ALONE].strip():
            return self.near
        return None


def _used_up(between: str) -> bool:
    """A label names the first value behind it, and others only where one follows the other: ``phone 1 or 2``."""
    value = between.rfind(OPAQUE)
    return value >= 0 and len(between) - value - 1 > LIST


def _ends(found: re.Match[str], digits: tuple[int, int]) -> Iterator[int]:
    """Where the row may end: behind each of its digit groups that makes up a number of digits that is allowed."""
    count = 0
    for group in GROUP.finditer(found[0]):
        count += len(group[0])
        if count > digits[1]:
            return
        if count >= digits[0]:
            yield found.start() + group.end()


def _length_before(characters: re.Pattern[str], text: str, end: int) -> int:
    found = characters.search(text, max(0, end - BACK), end)
    return end - found.start() if found else 0
