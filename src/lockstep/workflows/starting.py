"""A run begins: rows in the caller's own transaction, and a worker that is told of it once they are committed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from django.db import connections, transaction

from lockstep.core import context
from lockstep.core.ids import new_id
from lockstep.core.pseudonyms import pseudonym
from lockstep.workflows import doorbell, registry
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import IdempotencyConflict, RunBusy, StateTooLarge
from lockstep.workflows.models import Run
from lockstep.workflows.state import digest

__all__ = ["IfBusy", "start"]

IfBusy = Literal["enqueue", "reject", "interrupt", "rollback"]
LIMITS = {"thread": 200, "idempotency_key": 200}


def start(
    name: str,
    input: Any,  # noqa: A002 -- what LangGraph calls it
    *,
    user: Any = None,
    thread: str | None = None,
    idempotency_key: str | None = None,
    if_busy: IfBusy = "enqueue",
    version: str | None = None,
    cohort: str | None = None,
    tenant: str | None = None,
) -> Run:
    """Begin a run, and return at once: it exists when the caller's transaction commits.

    Args:
        name: of the workflow.
        input: what the graph is given; it is stored as a state is.
        user: for whom it runs; nodes find them in ``lockstep.core.context``.
        thread: runs of one thread go on from each other's state, one at a time; each run has its own when left out.
        idempotency_key: a second start with the same key returns the first run.
        if_busy: what becomes of the thread's other runs: ``enqueue`` waits for them, ``reject`` refuses this one,
            ``interrupt`` cancels them, ``rollback`` cancels them and undoes what they did to the state.
        version: another than the newest.

    Raises:
        UnknownWorkflow: none has that name and version here.
        Unstorable: the input cannot be stored; the error names the path.
        StateTooLarge: the input is larger than ``max_state_bytes``.
        IdempotencyConflict: the key belongs to a run with another input.
        RunBusy: with ``reject``, the thread has a run under way.
    """
    found = registry.newest(name) if version is None else registry.find(name, version)
    if if_busy not in ("enqueue", "reject", "interrupt", "rollback"):
        raise ValueError(f"if_busy is 'enqueue', 'reject', 'interrupt' or 'rollback', not {if_busy!r}.")
    run = new_id()
    text = found.graph().codec.dumps(input, name="input")
    if len(text) > settings().max_state_bytes:
        raise StateTooLarge(size=len(text))
    around = context.current()
    user = around.user if user is None else user
    asked: Mapping[str, Any] = {
        "id": run, "workflow": found.name, "version": found.version, "thread": _limited("thread", thread) or run,
        "user_id": "" if getattr(user, "pk", None) is None else str(user.pk), "user_key": pseudonym(user),
        "feature": found.feature or around.feature, "cohort": cohort or around.cohort,
        "tenant": tenant or around.tenant, "idempotency_key": _limited("idempotency_key", idempotency_key),
        "input_digest": digest(text), "if_busy": if_busy,
    }  # fmt: skip
    alias = settings().database
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_workflows_start_v1(%s::jsonb, %s::jsonb)::text", [json.dumps(asked), text]
        )
        answer = json.loads(cursor.fetchone()[0])
    if answer.get("busy"):
        raise RunBusy(
            f"Thread {thread!r} has the run {answer['run']} under way. Wait for it, or start with if_busy='enqueue' or"
            " 'interrupt'.",
            run=answer["run"],
        )
    if answer.get("known") and not answer.get("same"):
        raise IdempotencyConflict(
            f"The idempotency key {idempotency_key!r} of {name!r} belongs to the run {answer['run']}, which has another"
            " input.",
            run=answer["run"],
        )
    if not answer.get("known"):
        transaction.on_commit(lambda: doorbell.ring(run, found.queue), using=alias, robust=True)
    return _run(alias, answer["row"])


def _run(alias: str, row: Mapping[str, Any]) -> Run:
    fields = Run._meta.concrete_fields
    values = [field.to_python(row[str(field.column)]) for field in fields]
    return Run.from_db(alias, [field.attname for field in fields], values)


def _limited(name: str, given: str | None) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not given or len(given) > LIMITS[name] or "\0" in given:
        raise ValueError(
            f"{name} is a text of 1 to {LIMITS[name]} characters without NUL, not {given!r:.80}."
        )
    return given
