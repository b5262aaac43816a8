"""Text with holes: ``{name}`` and nothing else.

``{{`` and ``}}`` are literal braces. There are no attributes, indexes, conversions or format specifications, so a
template can read nothing that it was not given; and what is filled in is never looked at again, so a value with
braces stays text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from lockstep.prompts.exceptions import TemplateError

__all__ = ["NAME", "fill", "names", "parse"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.A)
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[tuple[bool, str], ...]:
    """``(is a variable, text or name)`` pieces in order.

    Raises:
        TemplateError: a brace stands alone, or a hole is no plain name; says where.
    """
    pieces: list[tuple[bool, str]] = []
    literal: list[str] = []
    position = 0
    for found in _TOKEN.finditer(text):
        literal.append(text[position : found.start()])
        position = found.end()
        token, name = found[0], found[1]
        if token in ("{{", "}}"):
            literal.append(token[0])
        elif name is not None and NAME.fullmatch(name):
            pieces += [(False, "".join(literal)), (True, name)]
            literal = []
        else:
            raise TemplateError(_fault(text, found.start(), token))
    pieces.append((False, "".join([*literal, text[position:]])))
    return tuple(piece for piece in pieces if piece[1])


def names(text: str) -> list[str]:
    """Variables in order of appearance, as often as they stand there."""
    return [name for is_variable, name in parse(text) if is_variable]


def fill(text: str, values: Mapping[str, str]) -> str:
    """The template with its holes filled; each needs a value."""
    return "".join(values[piece] if is_variable else piece for is_variable, piece in parse(text))


def _fault(text: str, position: int, token: str) -> str:
    line = text.count("\n", 0, position) + 1
    shown = token if len(token) <= 40 else token[:40] + "…"
    if len(token) == 1:
        return f"Line {line}: a single {token!r}. Write {token * 2!r} for a literal brace."
    return (
        f"Line {line}: {shown!r} is no variable. A variable is {{name}} with lower-case letters, digits and _;"
        " attributes, conversions and formats are not allowed. Write {{ and }} for literal braces."
    )
