"""Kinds of values that hold no other values: numbers, text, bytes, times, names of things."""

from __future__ import annotations

import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AnyHttpUrl, AnyUrl, AnyWebsocketUrl, FileUrl, FtpUrl, HttpUrl, WebsocketUrl

from lockstep.workflows.codec.refusals import Refusal

__all__ = [
    "DECODERS",
    "ENCODERS",
    "LARGE_INT",
    "SMALLEST_INT",
    "UNSAFE",
    "numpy_encoder",
    "of_str",
    "of_text",
]

UNSAFE = re.compile("[\0\ud800-\udfff]")
"""What jsonb cannot hold: NUL, and halves of surrogate pairs."""

SMALLEST_INT = -(2**63)
LARGE_INT = 2**63
LARGE_FLOAT = 1e16
"""From here on jsonb, which keeps numbers as decimals, gives a float back without its point."""

DTYPE = re.compile(r"[<>|](b1|i[1248]|u[1248]|f[248]|c8|c16)")
"""Arrays of numbers only: nothing that numpy would unpickle."""


def of_text(value: str) -> Any:
    if value.isascii() and "\0" not in value:
        return value
    if UNSAFE.search(value):
        return {"$t": "str", "v": value.encode("unicode_escape").decode("ascii")}
    return value


def of_str(value: str) -> Any:
    """Text of a class of its own (Django's SafeString, LangChain's TextAccessor) comes back as plain text."""
    return of_text(str.__str__(value))


def of_int(value: int) -> Any:
    if SMALLEST_INT <= value < LARGE_INT:
        return value
    return {"$t": "int", "v": hex(value)}


def of_float(value: float) -> Any:
    if -LARGE_FLOAT < value < LARGE_FLOAT and (value or str(value) == "0.0"):
        return value
    return {"$t": "float", "v": repr(value)}


def of_bytes(value: bytes) -> Any:
    return {"$t": "bytes", "v": b64encode(value).decode()}


def of_bytearray(value: bytearray) -> Any:
    return {"$t": "bytearray", "v": b64encode(value).decode()}


def of_date(value: date) -> Any:
    return {"$t": "date", "v": value.isoformat()}


def of_moment(value: datetime | time) -> Any:
    """A datetime or time. An offset stands in the text; a zone, or an offset with a name, beside it."""
    form: dict[str, Any] = {"$t": type(value).__name__}
    if isinstance(value.tzinfo, timezone) and "name" not in of_timezone(value.tzinfo):
        form["v"] = value.isoformat()
    else:
        form["v"] = value.replace(tzinfo=None).isoformat()
        if value.tzinfo is not None:
            form["zone"] = of_zone(value.tzinfo)
    if value.fold:
        form["fold"] = 1
    return form


def of_zone(zone: tzinfo) -> Any:
    if type(zone) is timezone:
        return of_timezone(zone)
    if type(zone) is ZoneInfo:
        return of_zoneinfo(zone)
    raise Refusal(zone, "Use datetime.timezone or zoneinfo.ZoneInfo.")


def of_timezone(zone: timezone) -> dict[str, Any]:
    offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
    form = {"$t": "timezone", "v": [offset.days, offset.seconds, offset.microseconds]}
    return {**form, "name": of_text(name[0])} if name else form


def of_zoneinfo(zone: ZoneInfo) -> Any:
    if zone.key is None:
        raise Refusal(zone, "A zone read from a file has no name: use ZoneInfo(name).")
    return {"$t": "zoneinfo", "v": zone.key}


def of_timedelta(value: timedelta) -> Any:
    return {"$t": "timedelta", "v": [value.days, value.seconds, value.microseconds]}


def of_pattern(value: re.Pattern[Any]) -> Any:
    pattern = of_bytes(value.pattern) if isinstance(value.pattern, bytes) else of_text(value.pattern)
    return {"$t": "pattern", "v": pattern, "flags": value.flags}


def numpy_encoder(cls: type) -> Callable[[Any], Any] | None:
    """For numpy's numbers and plain arrays of them; None for anything else. numpy is not imported for this."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (cls is numpy.ndarray or issubclass(cls, numpy.generic)):
        return None
    return of_array


def of_array(value: Any) -> Any:
    if not DTYPE.fullmatch(value.dtype.str):
        raise Refusal(value, "Of numpy, only numbers and arrays of numbers are kept: convert it to a list.")
    kind = "array" if value.shape or type(value).__name__ == "ndarray" else "number"
    content = b64encode(value.tobytes()).decode()
    return {"$t": f"numpy.{kind}", "dtype": value.dtype.str, "shape": list(value.shape), "v": content}


def to_str(form: dict[str, Any]) -> str:
    text: str = form["v"]
    return text.encode("ascii").decode("unicode_escape")


def to_moment(form: dict[str, Any]) -> datetime | time:
    cls = datetime if form["$t"] == "datetime" else time
    value: datetime | time = cls.fromisoformat(form["v"])
    if (zone := form.get("zone")) is not None:
        value = value.replace(tzinfo=to_zoneinfo(zone) if zone["$t"] == "zoneinfo" else to_timezone(zone))
    return value.replace(fold=1) if form.get("fold") else value


def to_timezone(form: dict[str, Any]) -> timezone:
    name = form.get("name")
    offset = timedelta(*form["v"])
    return timezone(offset) if name is None else timezone(offset, to_text(name))


def to_zoneinfo(form: dict[str, Any]) -> ZoneInfo:
    return ZoneInfo(form["v"])


def to_text(form: Any) -> str:
    return form if isinstance(form, str) else to_str(form)


def to_pattern(form: dict[str, Any]) -> re.Pattern[Any]:
    stored = form["v"]
    is_bytes = isinstance(stored, dict) and stored["$t"] == "bytes"
    return re.compile(b64decode(stored["v"]) if is_bytes else to_text(stored), form["flags"])


def to_array(form: dict[str, Any]) -> Any:
    import numpy

    if not DTYPE.fullmatch(form["dtype"]):
        raise ValueError("not a dtype of numbers")
    array = numpy.frombuffer(b64decode(form["v"]), dtype=form["dtype"]).reshape(form["shape"]).copy()
    return array[()] if form["$t"] == "numpy.number" else array


BY_TEXT: dict[str, Any] = {
    "uuid": UUID,
    "decimal": Decimal,
    **{
        cls.__name__: cls
        for cls in (
            *(PosixPath, PurePosixPath, WindowsPath, PureWindowsPath),
            *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
            *(AnyUrl, AnyHttpUrl, HttpUrl, AnyWebsocketUrl, WebsocketUrl, FileUrl, FtpUrl),
        )
    },
}
"""Kind -> the class whose ``str()`` says all, and which takes that text back."""


def _by_text(kind: str) -> Callable[[Any], Any]:
    return lambda value: {"$t": kind, "v": of_text(str(value))}


def _from_text(cls: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda form: cls(to_text(form["v"]))


ENCODERS: dict[type, Callable[[Any], Any]] = {
    str: of_text,
    int: of_int,
    float: of_float,
    bytes: of_bytes,
    bytearray: of_bytearray,
    datetime: of_moment,
    time: of_moment,
    date: of_date,
    timedelta: of_timedelta,
    timezone: of_timezone,
    ZoneInfo: of_zoneinfo,
    re.Pattern: of_pattern,
    **{cls: _by_text(kind) for kind, cls in BY_TEXT.items()},
}

DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "str": to_str,
    "int": lambda form: int(form["v"], 16),
    "float": lambda form: float(form["v"]),
    "bytes": lambda form: b64decode(form["v"], validate=True),
    "bytearray": lambda form: bytearray(b64decode(form["v"], validate=True)),
    "datetime": to_moment,
    "time": to_moment,
    "date": lambda form: date.fromisoformat(form["v"]),
    "timedelta": lambda form: timedelta(*form["v"]),
    "timezone": to_timezone,
    "zoneinfo": to_zoneinfo,
    "pattern": to_pattern,
    "numpy.array": to_array,
    "numpy.number": to_array,
    **{kind: _from_text(cls) for kind, cls in BY_TEXT.items()},
}
