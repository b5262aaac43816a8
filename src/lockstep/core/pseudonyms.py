"""What stands for a person in our own tables: the same for the same person, nothing without this project's secret."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

__all__ = ["LOCK", "pseudonym", "pseudonyms"]

SALT = "lockstep.llm.user"  # never changed: it is in every pseudonym that was ever written
DIGITS = 32
LOCK = "hashtextextended('lockstep.person ' || {key}, 0)"
"""SQL of a person's advisory lock. An erasure takes it alone; who writes several rows about a person that must agree,
as budgets do, shares it until COMMIT."""


def pseudonym(person: Any) -> str:
    """The pseudonym of a user, or of whatever key a project has for its people; "" for nobody."""
    key = getattr(person, "pk", person)
    return "" if key is None else _by(settings.SECRET_KEY, key)


def pseudonyms(person: Any) -> list[str]:
    """Those by the secrets of before too (``SECRET_KEY_FALLBACKS``): rows keep what they were written with."""
    key = getattr(person, "pk", person)
    if key is None:
        return []
    return [_by(secret, key) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _by(secret: str | bytes, key: Any) -> str:
    return salted_hmac(SALT, str(key), secret=secret, algorithm="sha256").hexdigest()[:DIGITS]
