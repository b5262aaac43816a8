"""Classes whose instances are kept field by field, and put together again without running their ``__init__``.

As with pickle, no validator runs: a value comes back as it was, though a validator changed meanwhile. A field that the
class has gained gets its default; one that is gone, or that is required and was not kept, is an error.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import GetOp, Item
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lockstep.workflows.codec.refusals import Attribute, Refusal

__all__ = ["CORE", "Misfit", "Shape", "shape_of"]

Walk = Callable[[Any, int], Any]
Read = Callable[[Any], Any]

MESSAGES = (
    *(HumanMessage, AIMessage, SystemMessage, ToolMessage, ChatMessage, FunctionMessage, RemoveMessage),
    *(
        HumanMessageChunk,
        AIMessageChunk,
        SystemMessageChunk,
        ToolMessageChunk,
        ChatMessageChunk,
        FunctionMessageChunk,
    ),
)
GRAPH = (
    Send,
    TimeoutPolicy,
    Interrupt,
    Command,
    Overwrite,
    StateSnapshot,
    PregelTask,
    _DeltaSnapshot,
    Item,
    GetOp,
)

CORE: dict[str, type] = {cls.__name__: cls for cls in (*MESSAGES, Document, *GRAPH)}
"""Kept by these short names, which stay when a class moves to another module."""

CONSTRUCTED: dict[type, tuple[str, ...]] = {
    Send: ("node", "arg", "timeout"),
    Item: ("value", "key", "namespace", "created_at", "updated_at"),
}
"""LangGraph's plain classes with ``__slots__``: their constructors take what they hold."""

_set = object.__setattr__


class Misfit(ValueError):
    """What was kept is not what the class holds now."""


class Shape:
    """How instances of one class are taken apart and put together."""

    kind = "object"

    def __init__(self, cls: type, name: str, fields: tuple[str, ...] = ()) -> None:
        self.cls = cls
        self.name = name
        self.fields = fields

    def encode(self, value: Any, walk: Walk, room: int) -> Any:
        return {"$t": self.kind, "name": self.name, "v": self.walk_fields(value, walk, room)}

    def walk_fields(self, value: Any, walk: Walk, room: int) -> dict[str, Any]:
        kept = {}
        field = ""
        try:
            for field in self.fields:
                kept[field] = walk(getattr(value, field), room)
        except Refusal as refusal:
            raise refusal.inside(value, Attribute(field)) from None
        except AttributeError:
            raise Refusal(value, f"It has no value for {field!r}.") from None
        return kept

    def decode(self, form: dict[str, Any], read: Read) -> Any:
        return self.cls(**{field: read(kept) for field, kept in form["v"].items()})

    def read_fields(self, kept: dict[str, Any], read: Read) -> dict[str, Any]:
        """Field -> value in the class's order."""
        if gone := kept.keys() - set(self.fields):
            raise Misfit(f"it has no field {', '.join(sorted(gone))} any more")
        return {name: read(kept[name]) if name in kept else self.default(name) for name in self.fields}

    def default(self, field: str) -> Any:
        raise Misfit(f"it has a new field {field} without a default")


class EnumShape(Shape):
    """By value: that is what a database and other programs know it by."""

    kind = "enum"

    def encode(self, value: Any, walk: Walk, room: int) -> Any:
        return {"$t": self.kind, "name": self.name, "v": walk(value._value_, room)}

    def decode(self, form: dict[str, Any], read: Read) -> Any:
        return self.cls(read(form["v"]))


class NamedTupleShape(Shape):
    kind = "namedtuple"

    def encode(self, value: Any, walk: Walk, room: int) -> Any:
        if getattr(value, "__dict__", None):
            raise Refusal(value, "It carries attributes beside its fields: make it a dataclass.")
        return super().encode(value, walk, room)

    def decode(self, form: dict[str, Any], read: Read) -> Any:
        return tuple.__new__(self.cls, self.read_fields(form["v"], read).values())

    def default(self, field: str) -> Any:
        defaults: dict[str, Any] = self.cls._field_defaults  # type: ignore[attr-defined]
        return defaults[field] if field in defaults else super().default(field)


class DataclassShape(Shape):
    kind = "dataclass"

    def __init__(self, cls: Any, name: str) -> None:
        super().__init__(cls, name, tuple(field.name for field in dataclasses.fields(cls)))
        self.derived = {"__orig_class__", *self.fields, *_cached_properties(cls)}

    def encode(self, value: Any, walk: Walk, room: int) -> Any:
        form = super().encode(value, walk, room)
        own = getattr(value, "__dict__", None)
        if own and not own.keys() <= self.derived:  # set on the instance, beside its fields
            form["more"] = _walk_attributes(
                value, {k: own[k] for k in own if k not in self.derived}, walk, room
            )
        return form

    def decode(self, form: dict[str, Any], read: Read) -> Any:
        value: Any = object.__new__(self.cls)
        for name, item in self.read_fields(form["v"], read).items():
            _set(value, name, item)
        for name, kept in form.get("more", {}).items():
            _set(value, name, read(kept))
        return value

    def default(self, field: str) -> Any:
        declared = self.cls.__dataclass_fields__[field]  # type: ignore[attr-defined]
        if declared.default is not dataclasses.MISSING:
            return declared.default
        if declared.default_factory is not dataclasses.MISSING:
            return declared.default_factory()
        return super().default(field)


class PydanticShape(Shape):
    """``v``: the fields that were set. ``rest``: the others. ``extra``, ``private``: as pydantic has them."""

    kind = "pydantic"
    cls: type[BaseModel]

    def __init__(self, cls: type[BaseModel], name: str) -> None:
        super().__init__(cls, name, tuple(cls.__pydantic_fields__))
        self.known = frozenset(self.fields)
        self.takes_more = cls.model_config.get("extra") == "allow"

    def encode(self, value: Any, walk: Walk, room: int) -> Any:
        form: dict[str, Any] = {"$t": "pydantic", "name": self.name}
        own = value.__dict__
        if tuple(own) != self.fields:  # a cached property, or fields in an order of their own
            own = {name: own[name] for name in own if name in self.known}
            if tuple(own) != self.fields:
                form["order"] = list(own)
        chosen: set[str] = value.__pydantic_fields_set__
        kept: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        name = ""
        try:
            for name, item in own.items():
                part = kept if name in chosen else rest
                cls = type(item)
                if cls is NoneType or (cls is str and item.isascii() and "\0" not in item):
                    part[name] = item
                elif not item and (cls is list or cls is dict):
                    part[name] = cls()
                else:
                    part[name] = walk(item, room)
        except Refusal as refusal:
            raise refusal.inside(value, Attribute(name)) from None
        form["v"] = kept
        if rest:
            form["rest"] = rest
        if extra := value.__pydantic_extra__:
            form["extra"] = walk(extra, room)
        if not chosen <= self.known:
            form["set"] = sorted(chosen)
        if private := value.__pydantic_private__:
            held = {name: item for name, item in private.items() if item is not PydanticUndefined}
            form["private"] = _walk_attributes(value, held, walk, room)
        return form

    def decode(self, form: dict[str, Any], read: Read) -> Any:
        stored = {**form["v"], **form.get("rest", {})}
        extra = dict(read(form["extra"])) if "extra" in form else {}
        if self.takes_more:  # a field that the class has lost
            extra |= {name: read(stored.pop(name)) for name in stored.keys() - self.known}
        fields = (
            self._in_order(form["order"], stored, read) if "order" in form else self.read_fields(stored, read)
        )
        value: Any = self.cls.__new__(self.cls)
        _set(value, "__dict__", fields)
        _set(value, "__pydantic_fields_set__", set(form["set"] if "set" in form else form["v"]))
        _set(value, "__pydantic_extra__", extra if self.takes_more else None)
        _set(value, "__pydantic_private__", self._private(form.get("private", {}), read))
        return value

    def _in_order(self, order: list[str], stored: dict[str, Any], read: Read) -> dict[str, Any]:
        """A model that ``model_construct`` left without required fields comes back without them."""
        absent = {name: None for name in self.fields if name not in stored and self._required(name)}
        fields = self.read_fields(stored | absent, read)
        return {name: fields[name] for name in (*order, *fields) if name in fields and name not in absent}

    def _required(self, field: str) -> bool:
        return self.cls.__pydantic_fields__[field].is_required()

    def default(self, field: str) -> Any:
        declared = self.cls.__pydantic_fields__[field]
        if self._required(field):
            return super().default(field)
        return declared.get_default(call_default_factory=True, validated_data={})

    def _private(self, kept: dict[str, Any], read: Read) -> dict[str, Any] | None:
        declared = self.cls.__private_attributes__
        if not declared:
            return None
        if gone := kept.keys() - declared.keys():
            raise Misfit(f"it has no private attribute {', '.join(sorted(gone))} any more")
        values = {
            name: read(kept[name]) if name in kept else declared[name].get_default() for name in declared
        }
        return {name: value for name, value in values.items() if value is not PydanticUndefined}


@functools.lru_cache(maxsize=1024)
def shape_of(cls: type[Any], name: str) -> Shape | None:
    """How the class is kept under a name; None if it is of no kind that can be."""
    if cls in CONSTRUCTED:
        return Shape(cls, name, CONSTRUCTED[cls])
    if issubclass(cls, Enum):
        return EnumShape(cls, name)
    if issubclass(cls, BaseModel):
        return PydanticShape(cls, name)
    if issubclass(cls, tuple):
        fields: tuple[str, ...] | None = getattr(cls, "_fields", None)
        return None if fields is None else NamedTupleShape(cls, name, fields)
    if dataclasses.is_dataclass(cls) and cls.__new__ is object.__new__:
        return DataclassShape(cls, name)
    return None


def _walk_attributes(value: Any, attributes: dict[str, Any], walk: Walk, room: int) -> dict[str, Any]:
    kept = {}
    name = ""
    try:
        for name, item in attributes.items():
            kept[name] = walk(item, room)
    except Refusal as refusal:
        raise refusal.inside(value, Attribute(name)) from None
    return kept


def _cached_properties(cls: type) -> set[str]:
    return {
        name
        for base in cls.__mro__
        for name, item in vars(base).items()
        if isinstance(item, functools.cached_property)
    }
