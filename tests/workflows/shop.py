"""Types that a project keeps in its graphs' state."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Status(str, enum.Enum):  # noqa: UP042  as Django and many projects write it
    OPEN = "open"
    DONE = "done"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Any = 0


Pair = namedtuple("Pair", "left right")


@dataclass
class Line:
    sku: str
    amount: tuple[int, ...] = ()
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.total = sum(self.amount)
        self.loaded = True

    @cached_property
    def shown(self) -> str:
        return self.sku.upper()


@dataclass(frozen=True, slots=True, order=True)
class Money:
    cents: int
    currency: str = "EUR"


@dataclass
class Box(Generic[T]):
    item: T


class Refund(BaseModel):
    order_id: int
    note: str | None = None
    lines: list[Line] = Field(default_factory=list)
    tags: tuple[Any, ...] = ()
    _tries: int = PrivateAttr(default=0)

    class Reason(BaseModel):
        text: str

    @cached_property
    def shown(self) -> str:
        return f"#{self.order_id}"


class Alias:
    Reason = Refund.Reason


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    reason: Refund.Reason | None = None


class Secret(BaseModel):
    key: Any


class Text(str):
    pass


class Odd(dict):
    pass


ALL = tuple(
    f"{__name__}.{name}"
    for name in (
        *("Colour", "Status", "Level", "Rights", "Point", "Pair", "Line", "Money", "Box"),
        *("Refund", "Refund.Reason", "Open", "Secret"),
    )
)
