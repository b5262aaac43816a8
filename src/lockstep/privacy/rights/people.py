"""The person that is asked for: by their own key, and by what stands for it in our tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lockstep.core.pseudonyms import pseudonyms
from lockstep.privacy.exceptions import RightsError

__all__ = ["Person", "said", "who"]


@dataclass(frozen=True, slots=True)
class Person:
    """One person, whether or not any table knows them."""

    key: str
    pseudonyms: tuple[str, ...]
    """The present one first."""


def who(subject: Any) -> Person:
    """The person behind a user, or behind a key as ``str(user.pk)`` writes it.

    Raises:
        RightsError: it cannot be a key.
    """
    key = str(getattr(subject, "pk", subject)) if subject is not None else ""
    if not key.strip():
        raise RightsError("Name the person: the key is empty.")
    if key != key.strip() or not _storable(key):
        raise RightsError(
            "This is no key: it begins or ends with a space, or has a character that no table holds."
        )
    return Person(key, tuple(pseudonyms(key)))


def said(name: str, text: str, *, most: int, needed: bool = False) -> str:
    """What goes on the receipt beside the counts.

    Raises:
        RightsError: it is too long, missing where it is needed, or cannot be stored.
    """
    text = text.strip()
    if needed and not text:
        raise RightsError(f"A receipt needs an {name}: who decided this?")
    if len(text) > most or not _storable(text):
        raise RightsError(f"The {name} has more than {most} characters, or one that no table holds.")
    return text


def _storable(text: str) -> bool:
    """PostgreSQL keeps no NUL, and no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
