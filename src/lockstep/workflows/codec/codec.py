"""From values to JSON and back."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import chain
from types import NoneType
from typing import Any

import orjson

from lockstep.workflows.codec.keys import Keys, look_at
from lockstep.workflows.codec.leaves import (
    DECODERS,
    ENCODERS,
    LARGE_INT,
    SMALLEST_INT,
    numpy_encoder,
    of_str,
    of_text,
)
from lockstep.workflows.codec.refusals import ELEMENT, Refusal, advice_for
from lockstep.workflows.codec.shapes import CORE, Misfit, Shape, shape_of
from lockstep.workflows.exceptions import Unreadable

__all__ = ["MAX_DEPTH", "Codec"]

MAX_DEPTH = 100
"""Containers within containers. More is a mistake or a circle. Each may become two levels of JSON; orjson takes 254."""

FACTORIES: dict[str, Any] = {cls.__name__: cls for cls in (list, dict, set, tuple, str, int, float, bool)}
"""What a defaultdict may make."""

COME_BACK = Keys.COME_BACK
IN_ANOTHER_ORDER = Keys.IN_ANOTHER_ORDER

ATOMS = {bool, NoneType}

CORE_NAMES = {cls: name for name, cls in CORE.items()}

Walk = Callable[[Any, int], Any]
Encoder = Callable[[Any, Walk, int], Any]


class Codec:
    """Values of graph state to and from JSON, exact or refused.

    Two values that are one object come back as two. Text of a class of its own comes back as plain text, and an
    exception as its ``repr()``.

    Args:
        types: classes that may be kept besides LangGraph's and LangChain's: dotted names (``"shop.agents.Refund"``),
            ``(module, name)`` pairs as LangGraph derives them from a graph's schema, or the classes themselves.
    """

    def __init__(self, types: Iterable[Any] = ()) -> None:
        self.allowed: frozenset[str] = frozenset(map(_dotted, types))
        self._encoders: dict[type, Encoder] = dict(_BUILT_IN)

    def allowing(self, types: Iterable[Any]) -> Codec:
        """A codec that allows these types too; itself if it does already, so that what it has learnt stays."""
        wanted = self.allowed.union(map(_dotted, types))
        return self if wanted == self.allowed else Codec(wanted)

    def dumps(self, value: Any, *, name: str = "state") -> str:
        """Compact JSON text, ready for a jsonb parameter. Raises ``Unstorable``."""
        return self._guarded(lambda: orjson.dumps(self._walk(value, MAX_DEPTH)).decode(), value, name)  # type: ignore[no-any-return]

    def encode(self, value: Any, *, name: str = "state") -> Any:
        """What ``json.dumps`` takes and jsonb keeps exactly, sharing no container with the value.

        Args:
            name: what errors call the value: the root of their paths.

        Raises:
            Unstorable: a value in it is of a type that cannot be kept, or is not allowed, or holds itself.
        """
        return self._guarded(lambda: self._walk(value, MAX_DEPTH), value, name)

    def loads(self, text: str | bytes) -> Any:
        """``decode`` for JSON text."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Unreadable("This is no JSON that the codec wrote.", kind="json") from error
        return self.decode(data)

    def decode(self, data: Any) -> Any:
        """The value that was encoded.

        Raises:
            Unreadable: a kind is not known, a type is not allowed or not there, or what was kept does not fit it.
        """
        try:
            return self._read(data)
        except RecursionError:
            raise Unreadable("This is nested deeper than the codec writes.", kind="json") from None

    def _guarded(self, work: Callable[[], Any], value: Any, name: str) -> Any:
        try:
            return work()
        except Refusal as refusal:
            error = refusal.error(name)
        except RecursionError:
            error = Refusal(
                value, "It is nested too deeply for the room left on the stack. Flatten it."
            ).error(name)
        raise error  # out here, so that no chain of frames holds on to the state

    # to JSON

    def _walk(self, value: Any, room: int) -> Any:
        cls = type(value)
        if cls is str:
            return value if value.isascii() and "\0" not in value else of_text(value)
        if cls in ATOMS:
            return value
        if not room:
            raise _too_deep(value)
        if cls is dict:
            return self._dict(value, room - 1)
        if cls is list:
            return _items(value, self._walk, room - 1)
        encoder = self._encoders.get(cls) or self._learn(value)
        return encoder(value, self._walk, room - 1)

    def _dict(self, value: dict[Any, Any], room: int) -> dict[str, Any]:
        """Plain values are passed on here, without a call for each: this is where the time goes."""
        walk = self._walk
        kept = {}
        key: Any = None
        try:
            for key, item in value.items():
                cls = type(item)
                if type(key) is not str:
                    break
                if cls is str:
                    kept[key] = item if item.isascii() and "\0" not in item else of_text(item)
                elif cls in ATOMS or (cls is int and SMALLEST_INT <= item < LARGE_INT):
                    kept[key] = item
                else:
                    kept[key] = walk(item, room)
        except Refusal as refusal:
            raise refusal.inside(value, key) from None
        if len(kept) < len(value):
            return {"$t": "dict", "v": _pairs(value, walk, room)}
        keys = look_at(tuple(kept))
        if keys is COME_BACK:
            return kept
        if keys is IN_ANOTHER_ORDER:
            return {"$t": "dict", "v": [*chain.from_iterable(kept.items())]}
        return {"$t": "dict", "v": [part for key, item in kept.items() for part in (of_text(key), item)]}

    def _learn(self, value: Any) -> Encoder:
        cls = type(value)
        encoder = self._encoder_for(value, cls)
        self._encoders[cls] = encoder
        return encoder

    def _encoder_for(self, value: Any, cls: type[Any]) -> Encoder:
        if issubclass(cls, BaseException):
            return _leaf(_of_exception)
        if leaf := numpy_encoder(cls):
            return _leaf(leaf)
        name = CORE_NAMES.get(cls) or f"{cls.__module__}:{cls.__qualname__}"
        shape = shape_of(cls, name)  # type: ignore[arg-type]  # mypy looks for the hash of an instance
        if shape is not None:
            self._check(value, cls)
            return shape.encode
        if issubclass(cls, str):
            return _leaf(of_str)
        raise Refusal(value, advice_for(value))

    def _check(self, value: Any, cls: type) -> None:
        """Would another process find this class by its name, and may it look?"""
        if cls in CORE_NAMES:
            return
        module, name = cls.__module__, cls.__qualname__
        if "<locals>" in name:
            raise Refusal(
                value, "Its class is made inside a function, where nobody finds it: move it to a module."
            )
        if module == "__main__":
            raise Refusal(
                value, "Its class is in __main__, which is another module in a worker: move it to a module."
            )
        try:
            found = _find(module, name)
        except (ImportError, AttributeError):
            found = None
        if found is not cls:
            raise Refusal(value, "Its class is not found by its name: give it that name in its module.")
        if not {f"{module}.{name}", f"{module}.{cls.__name__}"} & self.allowed:
            raise Refusal(value, f'Allow its class: add "{module}.{name}" to LOCKSTEP["workflows"]["types"].')

    # from JSON

    def _read(self, data: Any) -> Any:
        cls = type(data)
        if cls is dict:
            if "$t" in data:
                return self._restore(data)
            return {key: self._read(item) for key, item in data.items()}
        if cls is list:
            return [self._read(item) for item in data]
        return data

    def _restore(self, form: dict[str, Any]) -> Any:
        kind = form["$t"]
        if type(kind) is not str:
            raise Unreadable("The tag of a value is not text: the codec did not write this.", kind="?")
        try:
            if leaf := DECODERS.get(kind):
                return leaf(form)
            if container := _CONTAINERS.get(kind):
                return container(form, self._read)
            if kind in SHAPES:
                return self._shape(kind, form["name"]).decode(form, self._read)
        except (Unreadable, RecursionError):
            raise
        except Misfit as misfit:
            raise Unreadable(f"{form['name']} has changed since it was kept: {misfit}.", kind=kind) from None
        except Exception as error:  # its text may hold a word of the state
            name = f" of {form.get('name')}" if kind in SHAPES else ""
            raise Unreadable(
                f"A {kind}{name} cannot be read back ({type(error).__name__}).", kind=kind
            ) from None
        raise Unreadable(
            f"The kind {kind!r} is not known here. Was it written by a newer release?", kind=kind
        )

    def _shape(self, kind: str, name: Any) -> Shape:
        cls = CORE.get(name) or self._class(kind, name)
        shape = shape_of(cls, name)
        if shape is None or shape.kind != kind:
            raise Unreadable(f"{name} was kept as a {kind} and is none now.", kind=kind)
        return shape

    def _class(self, kind: str, name: str) -> type:
        """The class of a name. Nothing is imported unless the name is allowed."""
        module, _, path = name.partition(":")
        nested = f"{module}.{path.rpartition('.')[2]}"
        if not {f"{module}.{path}", nested} & self.allowed:
            dotted = name.replace(":", ".")
            raise Unreadable(
                f'{dotted} is not allowed. If it is yours, add "{dotted}" to LOCKSTEP["workflows"]["types"].',
                kind=kind,
            )
        try:
            cls = _find(module, path)
        except (ImportError, AttributeError) as error:
            raise Unreadable(f"{name} is not there. Keep an alias under its old name.", kind=kind) from error
        if not isinstance(cls, type):
            raise Unreadable(f"{name} is not a class.", kind=kind)
        if f"{module}.{path}" not in self.allowed and (cls.__module__, cls.__qualname__) != (module, path):
            raise Unreadable(f"{name} is another class than the one that is allowed.", kind=kind)
        return cls


def _dotted(allowed: Any) -> str:
    if isinstance(allowed, type):
        return f"{allowed.__module__}.{allowed.__qualname__}"
    return allowed if isinstance(allowed, str) else ".".join(allowed)


def _find(module: str, path: str) -> Any:
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _too_deep(value: Any) -> Refusal:
    return Refusal(value, f"It is nested deeper than {MAX_DEPTH} levels. Flatten it.", cycle_or_depth=True)


def _leaf(encode: Callable[[Any], Any]) -> Encoder:
    return lambda value, walk, room: encode(value)


def _items(value: Iterable[Any], walk: Walk, room: int) -> list[Any]:
    kept: list[Any] = []
    try:
        for item in value:
            kept.append(walk(item, room))  # noqa: PERF401  how many there are is the place of the one that fails
    except Refusal as refusal:
        raise refusal.inside(value, len(kept)) from None
    return kept


def _pairs(value: Mapping[Any, Any], walk: Walk, room: int) -> list[Any]:
    """Key, value, key, value: the shortest form that keeps order."""
    kept: list[Any] = []
    key: Any = None
    try:
        for key, item in value.items():
            kept += (walk(key, room), walk(item, room))
    except Refusal as refusal:
        raise refusal.inside(value, key) from None
    return kept


def _elements(value: Iterable[Any], walk: Walk, room: int) -> list[Any]:
    """In an order that does not hang on the process: equal sets give equal JSON."""
    try:
        kept = [walk(item, room) for item in value]
    except Refusal as refusal:
        raise refusal.inside(value, ELEMENT) from None
    return sorted(kept, key=orjson.dumps)


def _of_deque(value: deque[Any], walk: Walk, room: int) -> Any:
    form: dict[str, Any] = {"$t": "deque", "v": _items(value, walk, room)}
    return form if value.maxlen is None else {**form, "max": value.maxlen}


def _of_defaultdict(value: defaultdict[Any, Any], walk: Walk, room: int) -> Any:
    factory = value.default_factory
    form: dict[str, Any] = {"$t": "defaultdict", "v": _pairs(value, walk, room)}
    if factory is None:
        return form
    if factory not in FACTORIES.values():
        raise Refusal(value, "Its default_factory is code: keep dict() of it.")
    return {**form, "factory": factory.__name__}


def _of_exception(value: BaseException) -> Any:
    try:
        return of_text(repr(value))
    except Exception:
        return f"{type(value).__qualname__}()"


def _read_pairs(form: dict[str, Any], read: Callable[[Any], Any]) -> dict[Any, Any]:
    flat = iter(form["v"])
    return {read(key): read(item) for key, item in zip(flat, flat, strict=True)}


def _read_items(form: dict[str, Any], read: Callable[[Any], Any]) -> list[Any]:
    return [read(item) for item in form["v"]]


_BUILT_IN: dict[type, Encoder] = {
    **{cls: _leaf(encode) for cls, encode in ENCODERS.items()},
    tuple: lambda value, walk, room: {"$t": "tuple", "v": _items(value, walk, room)},
    set: lambda value, walk, room: {"$t": "set", "v": _elements(value, walk, room)},
    frozenset: lambda value, walk, room: {"$t": "frozenset", "v": _elements(value, walk, room)},
    deque: _of_deque,
    OrderedDict: lambda value, walk, room: {"$t": "OrderedDict", "v": _pairs(value, walk, room)},
    Counter: lambda value, walk, room: {"$t": "Counter", "v": _pairs(value, walk, room)},
    defaultdict: _of_defaultdict,
}

_CONTAINERS: dict[str, Callable[[dict[str, Any], Callable[[Any], Any]], Any]] = {
    "dict": _read_pairs,
    "tuple": lambda form, read: tuple(_read_items(form, read)),
    "set": lambda form, read: set(_read_items(form, read)),
    "frozenset": lambda form, read: frozenset(_read_items(form, read)),
    "deque": lambda form, read: deque(_read_items(form, read), form.get("max")),
    "OrderedDict": lambda form, read: OrderedDict(_read_pairs(form, read)),
    "Counter": lambda form, read: Counter(_read_pairs(form, read)),
    "defaultdict": lambda form, read: defaultdict(
        FACTORIES.get(form.get("factory", "")), _read_pairs(form, read)
    ),
}

SHAPES = {"object", "pydantic", "dataclass", "namedtuple", "enum"}
