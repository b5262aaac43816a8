"""One spelling for each JSON value, so that the same content has the same digest everywhere.

The canonical form, in which PostgreSQL and Python agree byte for byte:

- UTF-8; no space outside strings; members of an object by code point of their names, each name once;
- strings with the shortest escapes, other control characters as ``\\u001f``,
  everything else as itself;
- numbers in plain decimals: no exponent, no ``+``, no trailing zeros, ``1.0`` is ``1`` and ``-0`` is ``0``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

from lockstep.prompts.exceptions import TemplateError

__all__ = ["canonical", "digest"]

DEPTH = 50
"""Levels of nesting; JSON schemas stay below ten."""
DIGITS = 400
"""Digits of a number: more than any float has."""


def canonical(value: Any) -> str:
    """The canonical JSON text of ``value``.

    Raises:
        TemplateError: it holds what JSON or PostgreSQL cannot: NaN, a date, NUL, half of a surrogate pair.
    """
    return _write(value, 0)


def digest(text: str) -> str:
    """SHA-256 of the UTF-8 bytes, 64 hex digits: the address."""
    return sha256(text.encode()).hexdigest()


def _write(value: Any, depth: int) -> str:
    if depth > DEPTH:
        raise TemplateError(f"Nested deeper than {DEPTH} levels.")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(_members(value, depth)) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ",".join(_write(item, depth + 1) for item in value) + "]"
    raise TemplateError(f"A {type(value).__name__} is no JSON value: write it as a string.")


def _members(value: Mapping[Any, Any], depth: int) -> list[str]:
    if wrong := [name for name in value if not isinstance(name, str)]:
        raise TemplateError(f"{wrong[0]!r} is no name of a JSON member: write it as a string.")
    return [f"{_string(name)}:{_write(value[name], depth + 1)}" for name in sorted(value)]


def _string(value: str) -> str:
    if "\0" in value:
        raise TemplateError("A NUL character cannot be stored by PostgreSQL: take it out.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TemplateError(
            f"Half of a surrogate pair at character {error.start} is no text: take it out."
        ) from None
    return json.dumps(value, ensure_ascii=False)


def _number(value: int | float | Decimal) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateError(f"{value} is no JSON number.")
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite():
        raise TemplateError(f"{value} is no JSON number.")
    if number.adjusted() > DIGITS or -int(number.as_tuple().exponent) > DIGITS:
        raise TemplateError(f"A number with more than {DIGITS} digits.")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
