"""Objects by alias, built once for the process from a setting that is shaped like ``CACHES``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from lockstep.core.conf import nearest

__all__ = ["Backends"]

T = TypeVar("T")


class Backends(Generic[T]):
    """What ``LOCKSTEP[section][key]`` names: alias -> ``{"BACKEND": dotted path, "OPTIONS": {...}}``.

    Args:
        place: where the setting is, for messages: ``LOCKSTEP["llm"]["providers"]``.
        entries: reads the setting.
        error: raised for an entry that cannot be used.
        extras: top-level module that may be missing -> extra of the distribution that brings it.
        keys: what an entry may hold besides BACKEND and OPTIONS.
    """

    def __init__(
        self,
        place: str,
        entries: Callable[[], Mapping[str, Mapping[str, Any]]],
        error: type[Exception],
        *,
        extras: Mapping[str, str],
        keys: frozenset[str] = frozenset(),
    ) -> None:
        self.place = place
        self.entries = entries
        self.error = error
        self.extras = extras
        self.keys = keys | {"BACKEND", "OPTIONS"}
        self._built: dict[str, T] = {}
        setting_changed.connect(self._on_change, weak=False, dispatch_uid=place)

    def get(self, alias: str) -> T:
        """The object of an alias. Building one opens nothing; its first use does."""
        try:
            return self._built[alias]
        except KeyError:  # setdefault is atomic, so that all threads get the same one without a lock
            return self._built.setdefault(alias, self._build(alias))

    def reset(self) -> None:
        """Forget what was built, and close what can be closed."""
        while self._built:
            _, built = self._built.popitem()
            close = getattr(built, "close", None)
            if close:
                close()

    def _build(self, alias: str) -> T:
        entries = self.entries()
        if alias not in entries:
            raise self.error(f"{self.place} has no {alias!r}. {nearest(alias, set(entries))}")
        entry, place = entries[alias], f"{self.place}[{alias!r}]"
        self._refuse_unknown(place, set(entry), self.keys)
        options = dict(entry.get("OPTIONS") or {})
        backend = self._backend(place, entry)
        accepted = inspect.signature(backend).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            self._refuse_unknown(f'{place}["OPTIONS"]', set(options), set(accepted))
        try:
            return backend(**options)
        except (TypeError, ValueError) as error:
            raise self.error(f"{place}: {error}") from error

    def _backend(self, place: str, entry: Mapping[str, Any]) -> Callable[..., T]:
        try:
            backend: Callable[..., T] = import_string(entry["BACKEND"])
        except ImportError as error:
            extra = self.extras.get((error.name or "").partition(".")[0])
            advice = (
                f"pip install 'django-lockstep[{extra}]'"
                if extra
                else "BACKEND is the dotted path of a class."
            )
            raise self.error(f"{place}: {error}. {advice}") from error
        return backend

    def _refuse_unknown(self, place: str, given: set[str], known: set[str] | frozenset[str]) -> None:
        for key in sorted(given - known):
            raise self.error(f"{place} has an unknown key {key!r}. {nearest(key, set(known))}")

    def _on_change(self, *, setting: str, **_: Any) -> None:
        if setting == "LOCKSTEP":
            self.reset()
