"""Named AI capabilities of the product, declared in code and synced to a table after migrate.

A feature is what money, prompts, limits and switches hang on. Declare it in any module that is
imported at start (``features.py`` of an app is imported for you)::

    support = declare("support.answer", owner="support@example.com")
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lockstep.core.exceptions import FeatureError

__all__ = ["FeatureSpec", "declare", "declared", "forget", "spec"]

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_declared: dict[str, FeatureSpec] = {}


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One AI capability as the code declares it."""

    name: str
    """Dotted lower-case name, at most 100 characters: ``support.answer``."""
    owner: str = ""
    """Mail address or team that answers for it."""
    model: str = ""
    """Default model, ``provider:name``."""
    prompt: str = ""
    """Name of the default prompt."""
    endpoints: tuple[str, ...] = ()
    """Base URLs that it may call; empty allows every configured one."""
    fallback_model: str = ""
    """Cheaper model, ``provider:name``, that is asked when a budget is spent; empty refuses the call then."""
    data_class: str = "internal"
    """Highest class of data that it may send: public, internal, personal or special."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > 100:
            raise FeatureError(f"{self.name!r} is no feature name: write it like 'support.answer'.")
        if self.data_class not in DATA_CLASSES:
            raise FeatureError(
                f"{self.data_class!r} is no data class: take one of {', '.join(DATA_CLASSES)}."
            )
        if isinstance(self.endpoints, str) or not all(url and isinstance(url, str) for url in self.endpoints):
            raise FeatureError(
                f"{self.endpoints!r} are no endpoints: write a tuple of base URLs, ('https://host/v1',)."
            )
        object.__setattr__(self, "endpoints", tuple(self.endpoints))


DATA_CLASSES = ("public", "internal", "personal", "special")


def declare(name: str, **fields: object) -> FeatureSpec:
    """Register a feature. The same declaration twice is fine, two different ones are not.

    Raises:
        FeatureError: the name or a field is wrong, or the name was declared otherwise before.
    """
    new = FeatureSpec(name, **fields)  # type: ignore[arg-type]
    old = _declared.setdefault(name, new)
    if old != new:
        raise FeatureError(f"The feature {name!r} is declared twice, differently: {old} and {new}.")
    return old


def spec(name: str) -> FeatureSpec:
    """The declaration of a feature.

    Raises:
        FeatureError: nobody declared it.
    """
    try:
        return _declared[name]
    except KeyError:
        raise FeatureError(
            f"No feature {name!r} is declared. Declared: {', '.join(sorted(_declared)) or 'none'}."
        ) from None


def declared() -> list[FeatureSpec]:
    return sorted(_declared.values(), key=lambda feature: feature.name)


def forget(name: str) -> None:
    """Take a declaration back (tests)."""
    _declared.pop(name, None)
