"""Calls at the ledger, as the door makes them: what a budget sees of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lockstep.core.ids import new_id
from lockstep.llm.ledger import Asked, Begun, Told, Usage, begin, end

__all__ = ["call", "came_back", "reserve", "settle"]


def call(**changes: Any) -> Asked:
    """Bound: 900 + 100 tokens."""
    new = new_id()
    plain = Asked(
        id=new, invocation=new, attempt=1, operation="chat", provider="openai", model="m", priced_as="m",
        endpoint="https://models.test/v1", bound_input=900, bound_output=100, feature="support.answer",
    )  # fmt: skip
    return replace(plain, **changes)


def reserve(**changes: Any) -> tuple[Asked, Begun]:
    asked = call(**changes)
    return asked, begin(asked)


def settle(asked: Asked, tokens: int | None, **changes: Any) -> int | None:
    """It came back with so many tokens; None: nobody counted them."""
    usage = None if tokens is None else Usage(tokens - tokens // 10, tokens // 10)
    told = Told(asked.id, "ok", "usage" if usage else "bound", usage)
    return end(replace(told, **changes), asked)


def came_back(tokens: int, **changes: Any) -> Begun:
    asked, begun = reserve(**changes)
    if not begun.refused:
        settle(asked, tokens)
    return begun
