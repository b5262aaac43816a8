"""Embedders by alias, built from ``LOCKSTEP["search"]["embedders"]`` once for the process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from lockstep.core.conf import nearest
from lockstep.search.conf import settings
from lockstep.search.embedders.base import Embedder
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["get_embedder", "reset"]

KEYS = {"BACKEND", "OPTIONS"}
_built: dict[str, Embedder] = {}


def get_embedder(alias: str = "default") -> Embedder:
    """The embedder of an alias. Building one opens nothing and loads no model; its first use does.

    Raises:
        EmbedderMisconfigured: the alias is unknown, or its entry cannot be used; the text says why.
    """
    try:
        return _built[alias]
    except KeyError:  # setdefault is atomic, so that all threads get the same one without a lock
        return _built.setdefault(alias, _build(alias))


def reset() -> None:
    """Forget every built embedder and close its connections."""
    while _built:
        _, embedder = _built.popitem()
        close = getattr(embedder, "close", None)
        if close:
            close()


def _build(alias: str) -> Embedder:
    entries = settings().embedders
    if alias not in entries:
        raise EmbedderMisconfigured(
            f'LOCKSTEP["search"]["embedders"] has no {alias!r}. {nearest(alias, set(entries))}', alias=alias
        )
    entry = entries[alias]
    place = f'LOCKSTEP["search"]["embedders"][{alias!r}]'
    _refuse_unknown(place, set(entry), KEYS)
    options = dict(entry.get("OPTIONS") or {})
    backend = _backend(place, entry)
    accepted = inspect.signature(backend).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        _refuse_unknown(f'{place}["OPTIONS"]', set(options), set(accepted))
    try:
        return backend(**options)
    except (TypeError, ValueError) as error:
        raise EmbedderMisconfigured(f"{place}: {error}", alias=alias) from error


def _backend(place: str, entry: Mapping[str, Any]) -> Callable[..., Embedder]:
    try:
        backend: Callable[..., Embedder] = import_string(entry["BACKEND"])
    except ImportError as error:
        raise EmbedderMisconfigured(f"{place}: {error}. {_missing(error)}") from error
    return backend


def _missing(error: ImportError) -> str:
    """The line to type when an optional dependency is what is missing."""
    extras = {"httpx": "http", "numpy": "onnx", "onnxruntime": "onnx", "tokenizers": "onnx", "onnx": "onnx"}
    extra = extras.get((error.name or "").partition(".")[0])
    return f"pip install 'django-lockstep[{extra}]'" if extra else "BACKEND is the dotted path of a class."


def _refuse_unknown(place: str, given: set[str], known: set[str]) -> None:
    for key in sorted(given - known):
        raise EmbedderMisconfigured(f"{place} has an unknown key {key!r}. {nearest(key, known)}")


def _on_change(*, setting: str, **_: Any) -> None:
    if setting == "LOCKSTEP":
        reset()


setting_changed.connect(_on_change, dispatch_uid="lockstep_search.embedders")
