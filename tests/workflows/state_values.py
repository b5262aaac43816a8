"""One of every kind of value that state may hold, by name, and what it means that two are the same."""

from __future__ import annotations

import datetime as dt
import ipaddress
import pathlib
import re
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import is_dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
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
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, TimeoutPolicy
from pydantic import BaseModel, HttpUrl

from tests.workflows.shop import Box, Colour, Level, Line, Money, Open, Pair, Point, Refund, Rights, Status

MOMENT = dt.datetime(2026, 10, 25, 2, 30, 0, 7)
VIENNA = ZoneInfo("Europe/Vienna")


def refund() -> Refund:
    value = Refund(order_id=7, tags=("a", {"b"}), lines=[Line("s", (1, 2))])
    value._tries = 3
    assert value.shown == "#7"
    return value


def values() -> dict[str, Any]:
    return {
        "none": None,
        "booleans": [True, False],
        "whole numbers": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**64), 10**5000],
        "numbers": [0.0, -0.0, 1.0, 0.1, 1e15, 1e16, -1e16, 1.5e16, 1e300, 5e-324, 1e-7, 123456789012345.6],
        "not numbers": [float("nan"), float("inf"), float("-inf")],
        "text": ["", "ä€😀", "line\nbreak", "back\\u0000slash", "\\", '"'],
        "text that jsonb refuses": [
            "a\0b",
            "\ud800",
            "\ud83d\ude00 half and half",
            "é\0\ud800😀",
            {"in": "a\0"},
        ],
        "list": [1, [2, []]],
        "tuple": (1, ("a", ()), []),
        "set": {1, "a", (2, 3), None},
        "frozenset": frozenset({frozenset({1}), 2}),
        "dict": {"a": 1, "b": {}},
        "order": {"zeta": 1, "a": {"bb": 1, "a": 2}, "b": [{"y": 0, "x": 1}]},
        "order by bytes": {"ä": 1, "zz": 2, "aaa": 3},
        "keys": {
            1: "a",
            (1, 2): "b",
            None: "c",
            2.5: "d",
            True and "t": "e",
            Status.OPEN: "f",
            b"g": "h",
            "": "i",
        },
        "keys that jsonb refuses": {"a\0": 1, "\ud800": 2},
        "tags": [{"$t": "dict", "v": []}, {"$t": 1}, {"$t": "tuple"}, {"v": 1, "$t": {"$t": None}}],
        "bytes": [b"", b"\0\xff", bytearray(b"ab")],
        "datetime": [MOMENT, MOMENT.replace(fold=1), dt.datetime.min, dt.datetime.max],
        "aware": [
            MOMENT.replace(tzinfo=dt.UTC),
            MOMENT.replace(tzinfo=VIENNA),
            MOMENT.replace(tzinfo=VIENNA, fold=1),
            MOMENT.replace(tzinfo=dt.timezone(-dt.timedelta(hours=3, seconds=5))),
            MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(hours=1), "shop")),
        ],
        "date": dt.date(2026, 11, 23),
        "time": [
            dt.time(1, 2, 3, 4),
            dt.time(1, fold=1),
            dt.time(1, tzinfo=VIENNA),
            dt.time(1, tzinfo=dt.UTC),
        ],
        "timedelta": [dt.timedelta(days=-1, microseconds=1), dt.timedelta.max],
        "zones": [dt.UTC, dt.timezone(dt.timedelta(minutes=-1)), dt.timezone(dt.timedelta(0), "x"), VIENNA],
        "uuid": UUID(int=7),
        "decimal": [Decimal("1.10"), Decimal("-0"), Decimal("1E+400"), Decimal("NaN"), Decimal("-Infinity")],
        "enum": [Colour.RED, Colour.PAIR, Status.DONE, Level.LOW, Rights.READ | Rights.WRITE],
        "deque": [deque([1, (2,)]), deque([1], maxlen=2)],
        "namedtuple": [Point(1, (2,)), Pair("a", "b")],
        "dicts of other kinds": [
            OrderedDict(b=1, a=2),
            Counter({"x": 2, "a": 1}),
            defaultdict(list, {"z": [1], "a": []}),
            defaultdict(None, {}),
        ],
        "paths": [pathlib.PosixPath("/a/b"), pathlib.PurePosixPath("c"), pathlib.PureWindowsPath("C:\\d")],
        "patterns": [re.compile("a.b", re.I | re.S), re.compile(b"\0")],
        "addresses": [
            ipaddress.ip_address("10.0.0.1"),
            ipaddress.ip_interface("10.0.0.1/24"),
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_address("fe80::1%eth0"),
            ipaddress.ip_interface("::1/64"),
            ipaddress.ip_network("2001:db8::/32"),
        ],
        "urls": HttpUrl("https://example.org/a?b=c#d"),
        "pydantic": [
            refund(),
            Open(name="n", zeta=(1,), a=2),
            Open(name="m", reason=Refund.Reason(text="late")),
        ],
        "pydantic, half made": Refund.model_construct(note=("not", "checked")),
        "dataclass": [Line("a", (1, 2)), Money(5), Box[int](item=(1,))],
        "messages": [
            HumanMessage("hi", id="1", name="me"),
            SystemMessage([{"type": "text", "text": "be"}]),
            AIMessage(
                "",
                tool_calls=[{"name": "look", "args": {"z": 1, "a": (2,)}, "id": "c"}],
                invalid_tool_calls=[{"name": "x", "args": "{", "id": "d", "error": None}],
                usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                response_metadata={"model_name": "m", "finish_reason": "stop"},
            ),
            ToolMessage(
                "ok", tool_call_id="c", artifact={"rows": [(1, Money(2))], "at": MOMENT}, status="error"
            ),
            ChatMessage("x", role="critic"),
            FunctionMessage("x", name="f"),
            RemoveMessage(id="1"),
        ],
        "chunks": [
            HumanMessageChunk("h"),
            SystemMessageChunk("s"),
            AIMessageChunk("a", tool_call_chunks=[{"name": "n", "args": '{"a', "id": "1", "index": 0}]),
            AIMessageChunk("a", chunk_position="last"),
            ToolMessageChunk("t", tool_call_id="c", artifact=(1,)),
            ChatMessageChunk("c", role="r"),
            FunctionMessageChunk("f", name="f"),
        ],
        "document": Document("text", metadata={"page": (1, 2)}, id="d"),
        "send": [
            Send("node", {"a": (1,)}),
            Send(
                "node", None, timeout=TimeoutPolicy(run_timeout=2.0, idle_timeout=1.0, refresh_on="heartbeat")
            ),
        ],
        "interrupt": [
            Interrupt({"q": (1,)}, id="i"),
            Interrupt(None, id="j", response_schema={"type": "object"}),
        ],
        "command": [
            Command(update={"b": (1,), "a": 2}, goto=[Send("n", 1), "m"], resume={"i": True}),
            Command(graph=Command.PARENT, update=[("a", 1)]),
        ],
        "overwrite": Overwrite(value=["a", (1,)]),
        "delta snapshot": _DeltaSnapshot([HumanMessage("x", id="1"), (1,)]),
        "task": PregelTask("id", "name", ("__pregel_pull", "n"), None, (Interrupt(1, id="i"),)),
        "item": Item(value={"b": 1, "a": 2}, key="k", namespace=("n",), created_at=MOMENT, updated_at=MOMENT),
        "arrays": [
            np.array([[1.5, -0.0], [np.inf, 2]]),
            np.array([1, 2], dtype=">i2"),
            np.array(7),
            np.float64(0.1),
            np.int32(3),
            np.bool_(True),
        ],
    }


def same(a: Any, b: Any) -> bool:
    """Of one type, with the same in it, in the same order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, BaseModel):
        parts = ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
        return all(same(_part(a, name), _part(b, name)) for name in parts)
    if is_dataclass(a):
        return same(_held(a), _held(b))
    if isinstance(a, Send | Item):
        return all(same(getattr(a, name), getattr(b, name)) for name in type(a).__slots__)
    if isinstance(a, dict):
        return same(getattr(a, "default_factory", None), getattr(b, "default_factory", None)) and same(
            [*a.items()], [*b.items()]
        )
    if isinstance(a, deque) and a.maxlen != b.maxlen:
        return False
    if isinstance(a, list | tuple | deque):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return a == b and sorted(map(repr, map(type, a))) == sorted(map(repr, map(type, b)))
    if isinstance(a, dt.datetime | dt.time):
        return repr(a) == repr(b) and type(a.tzinfo) is type(b.tzinfo)
    if isinstance(a, int | str):
        return bool(a == b)
    return a is b or repr(a) == repr(b)


def _part(model: BaseModel, name: str) -> Any:
    part = getattr(model, name)
    return {key: item for key, item in part.items() if key != "shown"} if name == "__dict__" else part


def _held(value: Any) -> dict[str, Any]:
    held = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return held | {
        k: v for k, v in getattr(value, "__dict__", {}).items() if k not in ("shown", "__orig_class__")
    }
