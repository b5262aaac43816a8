"""How a value becomes text in a prompt.

=============================  ==============================================================================
``str``, lazy translation      as it is; NUL and halves of surrogate pairs, which no model can be sent, as U+FFFD
``bool``                       ``true``, ``false``
``int``, ``float``, Decimal    as Python prints them
``date``, ``datetime``, time   ISO 8601
``UUID``                       with hyphens
``Mapping``                    JSON, two spaces of indent, members in their own order, letters unescaped
any other iterable             its items numbered from 1, ``[1] text``, an empty line between; none: empty text
object with ``prompt_text``    that attribute, or what that method returns (a search hit, a model of yours)
=============================  ==============================================================================

None, bytes and anything else are refused by name: a prompt never holds an accidental ``<Article object (7)>``.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

from lockstep.prompts.exceptions import VariableError

__all__ = ["text_of"]

_UNSENDABLE = re.compile("[\0\ud800-\udfff]")


def text_of(value: Any, name: str) -> str:
    """The text of the variable ``name``.

    Raises:
        VariableError: there is no rule for such a value.
    """
    if isinstance(value, Promise):
        value = str(value)
    if isinstance(value, str):
        return _UNSENDABLE.sub("�", value) if _has_unsendable(value) else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal | UUID):
        return str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if hasattr(value, "prompt_text"):
        given = value.prompt_text
        return text_of(given() if callable(given) else given, name)
    if isinstance(value, Mapping):
        return text_of(_json(value, name), name)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        numbered = (f"[{number}] {text_of(item, name)}" for number, item in enumerate(value, 1))
        return "\n\n".join(numbered)
    hint = "pass '' if that is meant" if value is None else "pass text, or give it a prompt_text"
    raise VariableError(f"The variable {name!r} holds {type(value).__name__}: {hint}.", variable=name)


def _has_unsendable(value: str) -> bool:
    """Cheap for a megabyte of clean text: the search runs in C."""
    return _UNSENDABLE.search(value) is not None


def _json(value: Mapping[Any, Any], name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=lambda item: text_of(item, name))
    except (TypeError, ValueError) as error:
        raise VariableError(
            f"The variable {name!r} cannot be written as JSON: {error}.", variable=name
        ) from None
