"""The two statements of a call: its intent, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lockstep.core.ids import new_id
from lockstep.workflows.connection import apart
from lockstep.workflows.exceptions import EffectsForbidden, Fenced, ToolMisused
from lockstep.workflows.tools.failures import Failure
from lockstep.workflows.tools.places import Place

__all__ = ["Call", "Found", "begin", "settle"]

BEGIN = "SELECT lockstep_workflows_tool_begin_v1(%s::jsonb, %s::jsonb)::text"
SETTLE = "SELECT lockstep_workflows_tool_settle_v1(%s::jsonb, %s::jsonb, %s::jsonb)::text"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool at its place."""

    place: Place
    key: str
    external: str
    tool: str
    effect: str
    most: int
    args: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the ledger says of a call."""

    state: str
    """``go``: the intent is written, do it. ``again``: stops of earlier come first. ``wait``, ``unknown``, ``asked``,
    ``exhausted``, ``cancel``: see ``flow``. ``done`` and ``failed`` are final."""
    stops: list[dict[str, Any]] = field(default_factory=list)
    result: Any = None
    error: Any = None
    kind: str = ""
    error_kind: str = ""
    attempts: int = 0
    """With ``go`` those since somebody last tried the run again, else all."""
    wait_s: float = 0.0
    attempt: str = ""


def begin(call: Call, *, replayed: int, again: str = "") -> Found:
    """Write the intent of an attempt, or learn why there shall be none.

    Args:
        replayed: so many stops of the call the node has gone past.
        again: who says that it was not done and is to be repeated: ``person`` or ``hook``.

    Raises:
        Fenced: the run has another owner.
        EffectsForbidden: effects are forbidden, and the call has none in the log.
        ToolMisused: after a crash nobody could find this call again.
    """
    place, attempt = call.place, new_id()
    if place.tracer.log is not None:
        answered: Found = place.tracer.log.tool(call, replayed)
        return answered
    if place.fence.lost:
        raise Fenced
    told = {
        "key": call.key, "external": call.external, "attempt": attempt, "run": place.fence.run,
        "epoch": place.fence.epoch, "thread": place.thread, "ns": place.ns, "places": place.namespaces,
        "checkpoint": place.checkpoint, "task": place.task, "node": place.attempt.node, "tool": call.tool,
        "effect": call.effect, "most": call.most, "replayed": replayed, "again": again,
        "allowed": place.tracer.effects, "worker": place.tracer.worker,
    }  # fmt: skip
    (reply,) = apart.query(BEGIN, (json.dumps(told), call.args))
    found = Found(**json.loads(reply), attempt=attempt)
    if found.state == "fenced":
        place.fence.lose()
        raise Fenced
    if found.state == "cancel":
        place.fence.cancel()
    if found.state == "forbidden":
        raise EffectsForbidden(
            f"Tool {call.tool!r} has effects, which are forbidden here, and the log has no result of this call.",
            tool=call.tool,
        )
    if found.state == "rootless":
        raise ToolMisused(
            f"Tool {call.tool!r} has effects, and the state that its node stands on is not stored: after a crash this"
            " call could not be told from another one. Nodes with effects belong in graphs that keep checkpoints.",
            tool=call.tool,
        )
    return found


def settle(
    call: Call,
    status: str,
    *,
    attempt: str | None = None,
    outcome: str = "",
    failure: Failure | None = None,
    result: str | None = None,
    error: str | None = None,
    delay_s: float | None = None,
    stop: dict[str, Any] | None = None,
    replayed: int = 0,
    by: str = "",
) -> None:
    """Write what came of an attempt, or what is decided about a call.

    Args:
        attempt: the one that has ended; it is a fact then, whoever owns the run by now. None: a decision.
        result, error: JSON.
        delay_s: when it may be tried again.
        stop: what the node stops for next.
        by: who decided.

    Raises:
        Fenced: the run has another owner; the fact was written all the same.
    """
    place = call.place
    if place.tracer.log is not None:
        raise EffectsForbidden(
            f"Tool {call.tool!r} is only replayed: nothing is written of it.", tool=call.tool
        )
    told = {
        "key": call.key, "attempt": attempt, "run": place.fence.run, "epoch": place.fence.epoch, "status": status,
        "outcome": outcome, "kind": failure and failure.kind, "error_kind": failure and failure.error,
        "http": failure and failure.status, "delay_s": delay_s, "stop": stop, "replayed": replayed, "said_by": by,
    }  # fmt: skip
    (reply,) = apart.query(SETTLE, (json.dumps(told), result, error))
    answer = json.loads(reply)
    if answer.get("fenced"):
        place.fence.lose()
        raise Fenced
    if answer.get("cancel"):
        place.fence.cancel()
