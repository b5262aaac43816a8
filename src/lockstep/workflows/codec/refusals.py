"""What cannot be kept: where it stands, and what to do instead."""

from __future__ import annotations

import io
import types
from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import Any

from lockstep.workflows.exceptions import Unstorable

__all__ = ["ELEMENT", "Attribute", "Refusal", "advice_for", "type_name"]

LOCKS = ("_thread", "threading", "multiprocessing.synchronize", "asyncio.locks")
CONNECTIONS = ("socket", "ssl", "psycopg", "psycopg_pool", "httpx", "requests", "redis", "sqlite3", "celery")


class Attribute(str):
    """A step to an attribute, unlike one to a key."""

    __slots__ = ()


ELEMENT = Attribute("<element>")
"""A step into a set, whose elements have no place."""


class Refusal(Exception):
    """On its way up through the containers, each of which adds its step."""

    def __init__(self, value: Any, advice: str, *, cycle_or_depth: bool = False) -> None:
        super().__init__(advice)
        self.advice = advice
        self.type = type_name(type(value))
        self.cycle_or_depth = cycle_or_depth
        self.steps: list[tuple[Any, int]] = []

    def inside(self, container: Any, step: Any) -> Refusal:
        self.steps.append((step, id(container)))
        return self

    def error(self, root: str) -> Unstorable:
        steps = self.steps[::-1]
        if self.cycle_or_depth and (loop := _loop(steps)) is not None:
            path = _path(root, steps[:loop])
            return Unstorable(
                f"{path} contains itself. Break the circle, or keep an id.", path=path, type=self.type
            )
        path = _path(root, steps)
        shown = path if len(path) <= 200 else f"{path[:150]}…{path[-40:]}"
        return Unstorable(f"{shown} ({self.type}) cannot be kept. {self.advice}", path=path, type=self.type)


def type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def advice_for(value: Any) -> str:
    """What to do instead of keeping this value."""
    from django.db.models import Manager, Model, QuerySet
    from django.utils.functional import Promise
    from pydantic import BaseModel, SecretBytes, SecretStr

    module = type(value).__module__
    if isinstance(value, Model):
        return "Keep its primary key (.pk) and load it where it is used: the row may have changed since."
    if isinstance(value, QuerySet | Manager):
        return "Keep a list of primary keys."
    if isinstance(value, Promise):
        return "It is a lazy translation: keep str() of it."
    if isinstance(value, SecretStr | SecretBytes):
        return "State is kept in clear: keep the name under which the secret is found, not the secret."
    if isinstance(value, io.IOBase):
        return "It is an open file: keep its path or its content."
    if isinstance(value, Iterator):
        return "It can be read once only: keep list() of it."
    if isinstance(value, type | types.ModuleType) or callable(value):
        return "It is code, not state: keep the name by which the node looks it up."
    if module.startswith(LOCKS):
        return "It lives in one process only: make it where it is used."
    if module.split(".")[0] in CONNECTIONS or module.startswith("django.db"):
        return "It is a connection of one process: open it where it is used."
    if isinstance(value, dict | list | tuple | set | int | float | bytes | date | time | timedelta):
        return f"It is a {type_name(type(value).__mro__[1])} of its own kind: convert it to a plain one."
    if (
        isinstance(value, BaseModel)
        or hasattr(type(value), "__pydantic_core_schema__")
        or hasattr(value, "__fields__")
    ):
        return "Only models of pydantic 2 are kept."
    return "Keep plain values, a dataclass, a pydantic model or an Enum that says the same."


def _loop(steps: list[tuple[Any, int]]) -> int | None:
    """Where a container is met that is already around, counted in steps from the root."""
    seen: dict[int, int] = {}
    for place, (_, container) in enumerate(steps):
        if container in seen:
            return seen[container]
        seen[container] = place
    return None


def _path(root: str, steps: list[tuple[Any, int]]) -> str:
    return root + "".join(_step(step) for step, _ in steps)


def _step(step: Any) -> str:
    if isinstance(step, Attribute) or (type(step) is str and step.isidentifier()):
        return f".{step}"
    if type(step) is int:
        return f"[{step}]"
    shown = ascii(step) if type(step) is str else f"<{type_name(type(step))}>"
    return f"[{shown if len(shown) <= 42 else shown[:40] + '…'}]"
