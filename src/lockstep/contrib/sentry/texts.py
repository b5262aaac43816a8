"""Free texts: redacted by the policy of their feature, or withheld."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from lockstep.core import context, ports
from lockstep.core.redacted import demand

__all__ = ["WITHHELD", "Texts", "is_word", "without_literals", "without_query"]

WITHHELD = "[withheld]"
"""Stands in place of a text of which nothing may be kept."""
WORD = re.compile(r"[\w.:/@+\-<>=,#{}\[\]\"]{1,200}")
LITERAL = re.compile(r"'[^']*'?|\b\d[\d.]*\b")
_at_work: ContextVar[bool] = ContextVar("lockstep_sentry_at_work", default=False)


class Texts:
    """Makes the copy of a text that may leave.

    Args:
        feature: whose policy holds for texts that belong to no feature; empty keeps none of them.
    """

    def __init__(self, feature: str = "") -> None:
        self.feature = feature

    def __call__(self, text: Any) -> str:
        """The copy, or ``WITHHELD``. What is no text is withheld too."""
        if text == "":
            return ""
        if not isinstance(text, str) or _at_work.get():
            return WITHHELD  # redaction that fails logs that, which may be an event of its own
        token = _at_work.set(True)
        try:
            feature = context.current().feature or self.feature
            copy = ports.redaction.get().redact(text, feature=feature) if feature else None
        finally:
            _at_work.reset(token)
        return WITHHELD if copy is None or demand(copy).encrypted else copy.text


def is_word(value: Any) -> bool:
    """A name, a number, an address of code: what identifies and does not tell."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and bool(WORD.fullmatch(value)))


def without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def without_literals(statement: str) -> str:
    """SQL without the values that somebody wrote into it; empty where nobody can tell how its quotes are meant."""
    if "\\" in statement or "$$" in statement or re.search(r"\$\w+\$|--|/\*", statement):
        return ""
    return LITERAL.sub("?", statement)
