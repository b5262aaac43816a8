"""Who gets which arm: the same in Python as in the database.

A user is a point on a line of 2**60 places, by a salted digest. The arms lie on that line one behind the other in
the order of their names, each as long as its share. So a user stays in an arm from call to call and process to
process, and when a weight changes only those move whose place changed hands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

__all__ = ["LINE", "Arm", "pick", "point"]

LINE = 2**60


@dataclass(frozen=True, order=True)
class Arm:
    """One part of the traffic of a prompt."""

    name: str
    """What users stick to: the same name keeps its users when its version changes."""
    version: str
    weight: int = 100
    model: str = ""
    """``provider:name``; empty takes the version's own, else the feature's."""

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Arm:
        return cls(value["name"], value["version"], int(value["weight"]), value.get("model") or "")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def point(salt: str, unit: str) -> int:
    """Place of the user ``unit``, in ``[0, LINE)``."""
    return int(sha256(f"{salt}|{unit}".encode()).hexdigest()[:15], 16)


def pick(arms: Iterable[Arm], place: int) -> Arm:
    """The arm that owns ``place``."""
    laid = sorted(arms)
    total, upto = sum(arm.weight for arm in laid), 0
    for arm in laid:
        upto += arm.weight
        if place * total < upto * LINE:
            return arm
    raise ValueError(f"{place} is not on the line.")
