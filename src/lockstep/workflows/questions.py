"""What a graph may stop for: a person's decision, an event from outside, a moment.

Each is an interrupt of LangGraph's with a value that says what it is. Everything in a node before it runs again when
the run goes on: what must happen once belongs in a tool or in a node of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from langgraph.types import interrupt

from lockstep.core.jsonb import storable
from lockstep.workflows import schemas
from lockstep.workflows.codec import Codec
from lockstep.workflows.plain import plain
from lockstep.workflows.state import digest

__all__ = ["Question", "Review", "asked", "request_review", "sleep_until", "wait_for_event"]

MARK = "lockstep"
KINDS = ("review", "event", "timer")
FOREVER = timedelta(days=36_525)
LONGEST = {"action": 200, "name": 200, "key": 200, "assignee": 150}


@dataclass(frozen=True, slots=True)
class Question:
    """What is written of a stop."""

    kind: str
    name: str = ""
    key: str = ""
    digest: str = ""
    assignee: str = ""
    payload: Any = None
    schema: Any = None
    due: Mapping[str, Any] = field(default_factory=dict)
    """``at`` a moment, or ``in_s`` seconds by the database's clock: that of a worker may be wrong."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided."""

    decision: str
    """``approve``, ``edit``, ``reject``, or ``expired`` where nobody answered in time."""
    args: dict[str, Any]
    """What is to be done: as it was proposed, or as the person changed it."""
    comment: str = ""
    by: str = ""
    """Key of the user who answered."""

    @property
    def approved(self) -> bool:
        return self.decision in ("approve", "edit")


def request_review(
    action: str,
    args: Mapping[str, Any],
    *,
    schema: Mapping[str, Any] | None = None,
    assignee: str = "",
    expires: timedelta | datetime | None = None,
    note: str = "",
) -> Review:
    """Stop until a person has decided about ``action`` with these ``args``.

    Args:
        action: what is about to be done, as people call it: ``refund``.
        args: with what; JSON. The reviewer sees them, and may change what ``schema`` lets them.
        schema: JSON schema of ``args``; without it they may be approved or rejected as they are.
        assignee: group of Django's that may answer; empty: everybody with the permission.
        expires: when it is too late; the node goes on with ``expired`` then.
        note: what the reviewer should know.

    Raises:
        TypeError: ``args`` are no JSON.
        ValueError: ``schema`` is no JSON schema, or a name is too long.
    """
    facts = {"action": _named("action", action), "args": dict(args), "note": note}
    try:
        exact = plain(facts, f"args of request_review({action!r})")
    except ValueError as error:
        raise TypeError(str(error)) from error
    if schema is not None:
        schemas.check(schema)
        plain(schema, f"schema of request_review({action!r})")
    due = _due(expires)
    answer = interrupt(
        {
            MARK: "review", "name": action, "payload": facts, "schema": dict(schema) if schema else None,
            "digest": digest(exact), "assignee": _named("assignee", assignee), "due": due,
        }
    )  # fmt: skip
    return Review(**answer)


def wait_for_event(name: str, *, key: str = "", expires: timedelta | datetime | None = None) -> Any:
    """Stop until the event ``name`` about ``key`` has come in; what it said, or None where it did not come in time."""
    _named("name", name), _named("key", str(key))
    return interrupt({MARK: "event", "name": name, "key": str(key), "due": _due(expires)})


def sleep_until(when: datetime | timedelta) -> None:
    """Stop until a moment has come. No worker is held meanwhile."""
    interrupt({MARK: "timer", "due": _due(when)})


def asked(value: Any, codec: Codec) -> Question:
    """What the value of an interrupt asks; an interrupt of the graph's own asks for any answer."""
    if isinstance(value, Mapping) and value.get(MARK) in KINDS:
        return Question(
            kind=value[MARK], name=value.get("name", ""), key=value.get("key", ""), digest=value.get("digest", ""),
            assignee=value.get("assignee", ""), payload=value.get("payload"), schema=value.get("schema"),
            due=value.get("due") or {},
        )  # fmt: skip
    return Question(
        kind="input", payload=codec.encode(value, name="interrupt"), digest=digest(codec.dumps(value))
    )


def _named(what: str, given: str) -> str:
    if not isinstance(given, str) or len(given) > LONGEST[what] or not storable(given):
        raise ValueError(
            f"{what} is a text of {LONGEST[what]} characters at most, without NUL or half characters:"
            f" not {given!r:.80}."
        )
    return given


def _due(given: timedelta | datetime | None) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, timedelta):
        if abs(given) > FOREVER:
            raise ValueError(f"{given} is longer than any run lives.")
        return {"in_s": given.total_seconds()}
    if not isinstance(given, datetime):
        raise TypeError(f"A moment is a datetime or a timedelta, not {given!r:.80}.")
    if timezone.is_naive(given):
        raise ValueError(
            "The moment has no time zone: use django.utils.timezone.now() and what is made from it."
        )
    return {"at": given.isoformat()}
