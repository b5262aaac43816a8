"""What differs between two values of JSON: the proposal of a review and what a person made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Absent", "Change", "absent", "changes"]


class Absent:
    """Stands where there is nothing, not even null."""

    def __repr__(self) -> str:
        return "absent"


absent = Absent()


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    """Where, as one would write it: ``lines[2].price``; empty for the value itself."""
    old: Any
    """``absent`` where it was added."""
    new: Any
    """``absent`` where it was taken away."""


def changes(old: Any, new: Any) -> list[Change]:
    """The smallest parts that differ, in the order of their paths.

    ``1`` and ``1.0`` are the same number, and neither is ``true``.
    """
    return list(_changes(old, new, ""))


def _changes(old: Any, new: Any, path: str) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            name = key if key.isidentifier() else f"[{key!r}]"
            below = f"{path}.{name}" if path and not name.startswith("[") else f"{path}{name}"
            yield from _changes(old.get(key, absent), new.get(key, absent), below)
    elif isinstance(old, list) and isinstance(new, list):
        for at in range(max(len(old), len(new))):
            yield from _changes(
                old[at] if at < len(old) else absent, new[at] if at < len(new) else absent, f"{path}[{at}]"
            )
    elif isinstance(old, bool) != isinstance(new, bool) or old != new:
        yield Change(path, old, new)
