"""An event comes in: written once, in the caller's transaction, and given to whoever waits for it when that commits."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connections, transaction

from lockstep.core.ids import new_id
from lockstep.workflows import doorbell, registry
from lockstep.workflows.conf import settings
from lockstep.workflows.connection import apart
from lockstep.workflows.inbox.models import InboundEvent
from lockstep.workflows.plain import plain

__all__ = ["match_late", "receive"]

LONGEST = {"name": 200, "key": 200, "source": 100}
LATE_S = 2.0
"""Whoever received an event has looked for its wait by then, or has died."""
MOST = 100
LATE = (
    "SELECT coalesce(jsonb_agg(late.id), '[]')::text FROM (SELECT e.id FROM lockstep_workflows_inboundevent AS e"
    " WHERE e.looked_at IS NULL AND e.received_at < clock_timestamp() - make_interval(secs => %s)"
    " ORDER BY e.received_at LIMIT %s) AS late"
)


def receive(
    name: str, *, key: str = "", body: Any = None, dedupe: str = "", source: str = "python"
) -> tuple[InboundEvent, bool]:
    """Tell runs that something happened. The one that has waited longest for it goes on; when none waits yet, the event
    is kept for the first that will, for as long as ``LOCKSTEP["retention"]["limits"]`` says, or 7 days.

    Args:
        name: as ``wait_for_event`` names it.
        key: which one of these events.
        body: what ``wait_for_event`` returns; JSON.
        dedupe: what makes this event the same as another of its source, such as the sender's id of it. When left out,
            the same name, key and body are the same event.
        source: who says so.

    Returns:
        The event, and whether it is new.

    Raises:
        ValueError: a name is too long, the body is no JSON or larger than ``max_event_bytes``.
    """
    text = plain(body, "The body of an event")
    if len(text.encode()) > settings().max_event_bytes:
        raise ValueError(f"The body of an event has {settings().max_event_bytes:,} bytes at most, as JSON.")
    named = {
        "name": _named("name", name),
        "key": _named("key", key, empty=True),
        "source": _named("source", source),
    }
    asked = {"id": new_id(), "dedupe": _dedupe(dedupe, name, key, text), **named}
    alias = settings().database
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_workflows_receive_v1(%s::jsonb, %s::jsonb)::text", [json.dumps(asked), text]
        )
        reply = json.loads(cursor.fetchone()[0])
    if not reply["known"]:
        transaction.on_commit(lambda: _match(reply["event"]), using=alias, robust=True)
    return InboundEvent.objects.using(alias).get(pk=reply["event"]), not reply["known"]


def match_late(most: int = MOST, *, after_s: float = LATE_S) -> None:
    """Look again for those who wait for events whose receiver died before it had looked."""
    (found,) = apart.query(LATE, (after_s, most))
    for event in json.loads(found):
        _match(event)


def _match(event: str) -> None:
    """A failure harms nobody: the event is committed, and whoever sweeps looks again."""
    (found,) = apart.query("SELECT lockstep_workflows_match_v1(%s)::text", (event,))
    reply = json.loads(found) if found else {}
    if reply.get("ring"):
        doorbell.ring(reply["run"], registry.queue(reply["ring"]))


def _named(what: str, given: str, *, empty: bool = False) -> str:
    if not isinstance(given, str) or len(given) > LONGEST[what] or "\0" in given or not (given or empty):
        raise ValueError(
            f"{what} of an event is a text of {LONGEST[what]} characters at most, without NUL, not {given!r:.80}."
        )
    return given


def _dedupe(given: str, name: str, key: str, text: str) -> str:
    if not isinstance(given, str) or "\0" in given:
        raise ValueError(f"dedupe of an event is a text without NUL, not {given!r:.80}.")
    if given and len(given) <= 120:
        return given
    return (
        "sha256:"
        + hashlib.sha256((given or f"{name}\0{key}\0{text}").encode("utf-8", "surrogatepass")).hexdigest()
    )
