"""Pieces of SQL with their parameters, and lexemes as Postgres reads them in a tsquery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Sql", "any_of", "quoted"]


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement, or a part of one, and its parameters in order."""

    text: str
    params: list[Any] = field(default_factory=list)


def quoted(lexeme: str, weights: str = "") -> str:
    """A lexeme as tsquery text, whatever it holds.

    Args:
        weights: of the positions that count, such as ``AB``; ``*`` among them matches prefixes.
    """
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'{':' if weights else ''}{weights}"


def any_of(*queries: str) -> str:
    """tsquery text that matches where one of these does."""
    return " | ".join(queries)
