"""Answers to what runs wait for: by whom they may be given, that they are what was asked for, and once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.utils import timezone
from django.utils.timezone import localtime

from lockstep.workflows import doorbell, registry, schemas
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import InvalidAnswer, MayNotAnswer, NotAnswerable, StateTooLarge
from lockstep.workflows.models import Wait
from lockstep.workflows.plain import plain

__all__ = ["Decision", "answer", "answer_input", "name_of", "why_not"]

Decision = Literal["approve", "edit", "reject"]
DECISIONS = ("approve", "edit", "reject")
PERMISSION = "lockstep_workflows.answer_wait"
LONGEST_COMMENT = 2_000


def answer(
    wait: Wait | uuid.UUID | str,
    decision: Decision,
    *,
    by: Any,
    args: Mapping[str, Any] | None = None,
    comment: str = "",
    digest: str | None = None,
) -> Wait:
    """Decide about a review. Its run goes on when the caller's transaction commits.

    Args:
        wait: the review, or its key.
        decision: ``approve`` what was proposed, ``edit`` it and approve that, or ``reject`` it.
        by: the user who decides. They need the permission ``lockstep_workflows.answer_wait``, must be in the group that
            the review is for, and cannot approve what a run of their own proposes.
        args: of an ``edit``: what is to be done, all of it; by the schema of the review.
        comment: kept with the decision, and told to the node.
        digest: ``wait.digest`` of what the person was shown; that of ``wait`` when left out.

    Returns:
        The review as it is now.

    Raises:
        MayNotAnswer: this person may not.
        NotAnswerable: it was answered, is too late, or is not what was shown; ``reason`` says which.
        InvalidAnswer: the schema does not allow this; ``problems`` says where.
    """
    if decision not in DECISIONS:
        raise ValueError(f"decision is 'approve', 'edit' or 'reject', not {decision!r}.")
    row = _row(wait)
    if row.kind != Wait.Kind.REVIEW:
        raise ValueError(
            f"This waits for an answer of another kind ({row.kind}): see answer_input() and receive()."
        )
    _check_person(row, by, decision)
    _check_open(row)
    said = {
        "decision": decision, "args": _args(row, decision, args), "comment": _comment(comment), "by": str(by.pk),
    }  # fmt: skip
    return _write(row, decision, by, said, _shown(wait, row, digest))


def answer_input(wait: Wait | uuid.UUID | str, value: Any, *, by: Any, digest: str | None = None) -> Wait:
    """Answer an interrupt of the graph's own: ``value``, as JSON has it, is what ``interrupt()`` returns.

    A user may answer what runs of their own ask; everybody else needs the permission.

    Raises:
        MayNotAnswer: this person may not.
        NotAnswerable: it was answered or its run has ended.
        InvalidAnswer: ``value`` is no JSON.
    """
    row = _row(wait)
    if row.kind != Wait.Kind.INPUT:
        raise ValueError(
            f"This waits for an answer of another kind ({row.kind}): see answer() and receive()."
        )
    _check_person(row, by, None)
    _check_open(row)
    return _write(row, "", by, value, _shown(wait, row, digest))


def why_not(wait: Wait, user: Any, decision: Decision | None = None) -> str:
    """Why this person may not give this answer; empty where they may."""
    if getattr(user, "pk", None) is None or not user.is_active:
        return "Nobody answers without a name: log in."
    own = bool(wait.run.user_id) and wait.run.user_id == str(user.pk)
    if not user.has_perm(PERMISSION) and not (own and wait.kind == Wait.Kind.INPUT):
        return f"Who answers needs the permission {PERMISSION}."
    if wait.assignee and not user.is_superuser and not user.groups.filter(name=wait.assignee).exists():
        return f"This is for the group {wait.assignee}."
    if own and decision in ("approve", "edit") and not settings().self_approval:
        return "Somebody else must approve what a run of one's own proposes; rejecting it is fine."
    return ""


def name_of(key: str) -> str:
    """What the user with this key is called; the key itself where there is none any more."""
    users = get_user_model()
    try:
        found = users._default_manager.filter(pk=key).first() if key else None
    except (ValueError, ValidationError):
        found = None
    return found.get_username() if found else key


# --- what is checked ------------------------------------------------------------------------------


def _row(wait: Wait | uuid.UUID | str) -> Wait:
    """As it is now: what the caller has may be old."""
    key = wait.pk if isinstance(wait, Wait) else wait
    try:
        row = Wait.objects.using(settings().database).select_related("run").filter(pk=key).first()
    except ValidationError:
        row = None
    if row is None:
        raise _refusal({"refused": "missing"})
    return row


def _check_person(row: Wait, by: Any, decision: Decision | None) -> None:
    if reason := why_not(row, by, decision):
        raise MayNotAnswer(reason)


def _check_open(row: Wait) -> None:
    """So that who is late hears that, and not that their edit was wrong. The database decides again."""
    if row.status != Wait.Status.OPEN:
        raise _refusal(
            {"refused": row.status, "by": row.answered_by, "at": row.answered_at, "decision": row.decision}
        )


def _args(row: Wait, decision: Decision, args: Mapping[str, Any] | None) -> dict[str, Any]:
    if decision == "reject":
        return {}
    if decision == "approve":
        if args is not None and dict(args) != row.proposal:
            raise InvalidAnswer(
                "'approve' takes what was proposed: to change it, decide 'edit'.", problems=[]
            )
        return row.proposal
    if row.schema is None:
        raise InvalidAnswer("This can only be approved or rejected as it is: it has no schema.", problems=[])
    if args is None:
        raise InvalidAnswer("An edit says what is to be done: args.", problems=[])
    made = dict(args)
    _text(made, "args")
    found = schemas.problems(made, row.schema)
    if found:
        told = "; ".join(f"{path or 'the whole'}: {text}" for path, text in found[:5])
        raise InvalidAnswer(f"The review does not allow this: {told}", problems=found)
    return made


def _comment(given: str) -> str:
    if not isinstance(given, str) or len(given) > LONGEST_COMMENT or "\0" in given:
        raise InvalidAnswer(
            f"A comment is a text of {LONGEST_COMMENT} characters at most, without NUL.", problems=[]
        )
    return given


def _text(value: Any, what: str) -> str:
    try:
        text = plain(value, what)
    except ValueError as error:
        raise InvalidAnswer(str(error), problems=[]) from error
    if len(text) > settings().max_state_bytes:
        raise StateTooLarge(size=len(text))
    return text


def _shown(wait: Wait | uuid.UUID | str, row: Wait, digest: str | None) -> str:
    if digest is not None:
        return digest
    return wait.digest if isinstance(wait, Wait) else row.digest


# --- how it is written ----------------------------------------------------------------------------


def _write(row: Wait, decision: str, by: Any, said: Any, digest: str) -> Wait:
    alias = settings().database
    asked = {"wait": str(row.pk), "digest": digest, "decision": decision, "person": str(by.pk)}
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_workflows_answer_v1(%s::jsonb, %s::jsonb)::text",
            [json.dumps(asked), _text(said, "An answer")],
        )
        reply = json.loads(cursor.fetchone()[0])
    if "refused" in reply:
        raise _refusal(reply)
    if reply["ring"]:
        run, queue = reply["run"], registry.queue(reply["ring"])
        transaction.on_commit(lambda: doorbell.ring(run, queue), using=alias, robust=True)
    return Wait.objects.using(alias).select_related("run").get(pk=row.pk)


def _refusal(reply: Mapping[str, Any]) -> NotAnswerable:
    reason = reply["refused"]
    at = reply.get("at")
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    when = _clock(moment) if moment else ""
    by, decision = reply.get("by") or "", reply.get("decision") or ""
    text = {
        "answered": f"{name_of(by) or 'An event'} was faster: answered {when}{decision and f' ({decision})'}.",
        "expired": f"It is too late: an answer was taken until {when}." if when else "It is too late.",
        "withdrawn": "Nobody waits for this any more: the run has ended.",
        "stale": "What you were shown is not what is asked now. Open it again.",
        "missing": "There is no such question, or it has expired.",
    }[reason]
    return NotAnswerable(text, reason=reason, answered_by=by, answered_at=moment, decision=decision)


def _clock(moment: datetime) -> str:
    return f"{localtime(moment) if timezone.is_aware(moment) else moment:%Y-%m-%d %H:%M:%S %Z}".strip()
