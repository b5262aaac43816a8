"""One ``LOCKSTEP`` setting: a dict with a section for each app, read into a frozen dataclass.

An app registers its dataclass once (``section = Section("search", SearchSettings)``) and calls
``section.get()`` where it needs a value. ``override_settings`` works because the cache is dropped
on ``setting_changed``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

__all__ = ["APPS", "Problem", "Section", "nearest", "problems"]

#: Names a section may have, whether or not that app is installed.
APPS = (
    "core", "retention", "streams", "search", "llm", "workflows", "prompts", "budgets", "privacy",
    "rag", "evals", "console", "contrib",
)  # fmt: skip

T = TypeVar("T")
_sections: dict[str, Section[Any]] = {}


class Section(Generic[T]):
    """The settings of one app: ``LOCKSTEP[name]`` read into the dataclass ``schema``."""

    def __init__(self, name: str, schema: type[T]) -> None:
        self.name = name
        self.schema = schema
        self._cached: T | None = None
        _sections[name] = self

    def get(self) -> T:
        """The current values.

        Raises:
            ImproperlyConfigured: a key is unknown or a value is out of range; the text names it.
        """
        found = self._cached
        if found is None:
            raw = self.raw()
            unknown = sorted(set(raw) - self.keys())
            if unknown:
                raise ImproperlyConfigured(unknown_key(f'LOCKSTEP["{self.name}"]', unknown[0], self.keys()))
            try:
                found = self._cached = self.schema(**raw)
            except (TypeError, ValueError) as error:
                raise ImproperlyConfigured(f'LOCKSTEP["{self.name}"]: {error}') from error
        return found  # and not what stands there now: another thread may have reset it

    def raw(self) -> dict[str, Any]:
        """What the setting says, unread.

        Raises:
            ImproperlyConfigured: it is no dict.
        """
        value = all_settings().get(self.name, {})
        if not isinstance(value, Mapping):
            raise ImproperlyConfigured(f'LOCKSTEP["{self.name}"] must be a dict, not {type(value).__name__}.')
        return dict(value)

    def keys(self) -> set[str]:
        """Names that the section may have."""
        return {f.name for f in dataclasses.fields(self.schema)}  # type: ignore[arg-type]

    def reset(self) -> None:
        """Read the setting anew at the next use."""
        self._cached = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """One fault of the ``LOCKSTEP`` setting, for the system check."""

    text: str
    hint: str


def all_settings() -> dict[str, Any]:
    value = getattr(settings, "LOCKSTEP", {})
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"LOCKSTEP must be a dict of sections, not {type(value).__name__}.")
    return dict(value)


def problems() -> Iterator[Problem]:
    """Every fault of the setting; none when it can be used."""
    try:
        sections = all_settings()
    except ImproperlyConfigured as error:
        yield Problem(str(error), 'Write LOCKSTEP = {"search": {...}}.')
        return
    for name in sections:
        if name not in APPS:
            yield Problem(f"LOCKSTEP has an unknown section {name!r}.", nearest(name, APPS))
    for name, section in _sections.items():
        if name in sections:
            yield from _section_problems(section)


def _section_problems(section: Section[Any]) -> Iterator[Problem]:
    place = f'LOCKSTEP["{section.name}"]'
    try:
        raw = section.raw()
    except ImproperlyConfigured as error:
        yield Problem(str(error), f"Write {place} = {{...}}.")
        return
    unknown = sorted(set(raw) - section.keys())
    for key in unknown:
        yield Problem(f"{place} has an unknown key {key!r}.", nearest(key, section.keys()))
    if not unknown:
        try:
            section.get()
        except ImproperlyConfigured as error:
            yield Problem(str(error), "See docs/reference/settings.md.")


def unknown_key(place: str, key: str, known: set[str]) -> str:
    return f"{place} has an unknown key {key!r}. {nearest(key, known)}"


def nearest(word: str, known: set[str] | tuple[str, ...]) -> str:
    """The hint that names what was probably meant."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}."


def _reset(*, setting: str, **_: Any) -> None:
    if setting == "LOCKSTEP":
        for section in _sections.values():
            section.reset()


setting_changed.connect(_reset, dispatch_uid="lockstep_core.conf")
