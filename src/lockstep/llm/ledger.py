"""What is written of a call before it leaves and after it came back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lockstep.core.jsonb import dumps
from lockstep.llm.conf import settings
from lockstep.llm.connection import query

__all__ = [
    "MOST_TOKENS",
    "Asked",
    "Begun",
    "Ended",
    "Told",
    "Usage",
    "begin",
    "end",
    "lapse",
    "widen",
]

_END = "SELECT lockstep_llm_end_v2(%s::jsonb, %s::jsonb, %s::jsonb)::text"
MOST_TOKENS = 2**31 - 1
"""What a column of the ledger holds; a provider that counts more, or less than nothing, is wrong."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the provider counts them."""

    input_tokens: int
    """Cached ones included."""
    output_tokens: int
    """Reasoning included."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a request before it leaves."""

    id: str
    invocation: str
    """Id of the first attempt."""
    attempt: int
    operation: str
    provider: str
    """Alias of the provider."""
    model: str
    priced_as: str
    """The name that prices of the model are kept under."""
    endpoint: str
    bound_input: int
    """Tokens that it can be at most."""
    bound_output: int
    feature: str = ""
    cohort: str = ""
    tenant: str = ""
    user_key: str = ""
    unit: str = ""
    """Sticky key for the arms of a release."""
    prompt: str = ""
    prompt_version: str | None = None
    """None lets the database say which is live."""
    arm: str = ""
    release_id: int | None = None
    fallback_version: str | None = None
    """Version to take while there is no release."""
    run: str = ""
    node: str = ""
    node_attempt: str = ""
    trace_id: str = ""
    pinned: bool | None = None
    """Whatever model the release names, this one is asked."""
    refused: str | None = None
    """Reason why the door does not let it out."""
    tools_done: Sequence[dict[str, Any]] = field(default_factory=tuple)
    """``{call, id, ok}``: what became of tools that earlier answers wanted called."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The database's answer: go, or why not."""

    refused: str | None
    prompt_version: str
    arm: str
    release_id: int | None
    model: str
    """``provider:name``, another than was asked for if the release says so."""
    bound_input: int
    """Tokens that are reserved for the input, the template included."""
    held: Mapping[str, Any] = field(default_factory=dict)
    """Of a refusal by a budget: about, unit, limit, spent, wanted, retry_after_s, resets_at."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a request."""

    id: str
    outcome: str
    """ok, error, cancelled or refused."""
    charge: str
    """``usage`` as counted, ``bound`` when it may have been answered, ``none`` when it was not."""
    usage: Usage | None = None
    error_type: str = ""
    finish_reason: str = ""
    response_model: str = ""
    latency_ms: int | None = None
    first_token_ms: int | None = None
    tools: Sequence[dict[str, Any]] = field(default_factory=tuple)
    provider: str | None = None
    model: str | None = None
    priced_as: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The database's answer to that."""

    cost_micros: int | None
    """In millionths; None when nobody knows the price."""
    lost: str | None = None
    """Why what was said in the call is not kept although it should be."""


def begin(asked: Asked) -> Begun:
    """Resolve the release, reserve the bound and write the row: one round trip.

    Raises:
        LedgerError: the ledger cannot be written; nothing may be sent then.
    """
    row = json.loads(query("SELECT lockstep_llm_begin_v1(%s::jsonb)::text", (_asked(asked),))[0])
    return Begun(
        row["refused"],
        row["prompt_version"] or "",
        row["arm"] or "",
        row["release_id"],
        row["model"],
        row["bound_input"],
        row.get("held") or {},
    )


def widen(asked: Asked, bound_input: int) -> Mapping[str, Any]:
    """Reserve more for a call that came out longer than was reckoned; the bounds only grow.

    Args:
        asked: its ``bound_output`` is the new one.
        bound_input: tokens of the input at most, the template's included.

    Returns: empty, or what refuses it, as ``Begun.held``.
    """
    row: dict[str, Any] = json.loads(
        query(
            "SELECT lockstep_llm_widen_v2(%s, %s::jsonb, %s)::text", (asked.id, _asked(asked), bound_input)
        )[0]
    )
    return row


def end(told: Told, asked: Asked, content: str | None = None) -> Ended:
    """Settle the row and keep what was said: one round trip, committed when this returns. Repeating it changes nothing.

    Args:
        content: as ``core.ports.contents`` wrote it; None: nothing of it is kept.
    """
    facts = _facts(told) | (_facts(told.usage) if told.usage else {})
    facts.pop("usage", None)
    facts["priced_as"] = told.priced_as or asked.priced_as
    row = json.loads(query(_END, (dumps(facts), _asked(asked), content))[0])
    return Ended(row["cost_micros"], row.get("lost"))


def lapse(most: int = 1_000) -> int:
    """Charge calls that never came back at their bound. Returns how many."""
    count: int = query("SELECT lockstep_llm_lapse_v1(%s)", (most,))[0]
    return count


def _asked(asked: Asked) -> str:
    chosen = settings()
    facts = _facts(asked)
    facts |= {
        "currency": chosen.currency,
        "lapse_after_s": chosen.lapse_after_s,
        "durable": chosen.durable_reserve,
    }
    return dumps(facts)


def _facts(row: Asked | Told | Usage) -> dict[str, Any]:
    """What is set of it. Nothing is copied, as ``asdict`` would at every call."""
    found = {name: getattr(row, name) for name in row.__slots__}
    return {name: value for name, value in found.items() if value not in ("", None, ())}
