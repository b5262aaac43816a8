"""How far a refund is, as its customer reads it: the run's own rows in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from demo.orders.models import Outcome, Refund
from demo.orders.workflows import LIMIT_PENCE
from lockstep.workflows.models import Run, Wait

Status = Run.Status

STEPS = {
    "look_up": "Your order is looked up",
    "draft": "A letter to you is drafted",
    "decide": "A colleague looks at it",
    "pay": "Our bank is told to pay",
    "settle": "The bank pays",
    "tell": "A mail is sent to you",
}
"""Node of the graph -> what it does."""

WAITING = {
    "decide": "Waiting for a colleague to approve it.",
    "settle": "Waiting for the bank to pay.",
}
ENDED = {
    Outcome.PAID: "Paid, and the mail is on its way to you.",
    Outcome.DECLINED: "We could not pay it back. The mail to you says how to go on.",
    Outcome.UNANSWERED: "Nobody looked at it in time. You may ask again.",
    Outcome.UNSETTLED: "Our bank has not confirmed it yet. A colleague is looking into it.",
}
STUCK = "Something is in the way. A colleague has been told and will see to it."


@dataclass(frozen=True, slots=True)
class Step:
    words: str
    state: str
    """``done``, ``now``, ``later``, or ``skipped``."""
    died: int
    """Workers that died in it."""


@dataclass(frozen=True, slots=True)
class Progress:
    words: str
    steps: Sequence[Step]
    is_over: bool
    letter: str
    """The mail, once it is sent."""
    run: Run | None
    worker_pid: str
    """Of the process that is at it now; empty when none is."""
    review: Wait | None
    """What a person is asked."""


def progress_of(refund: Refund) -> Progress:
    run = refund.run
    if run is None:
        return Progress(_outcome(refund), [], True, "", None, "", None)
    attempts = list(run.nodes.values_list("node", "status"))
    done = {node for node, status in attempts if status == "ok"}
    is_over = run.status not in (Status.QUEUED, Status.RUNNING, Status.WAITING)
    path = _path(refund, done)
    now = "" if is_over else next((node for node in path if node not in done), "")
    return Progress(
        words=_words(refund, run, now),
        steps=_steps(
            path, done, now, Counter(node for node, status in attempts if status == "died"), is_over
        ),
        is_over=is_over,
        letter=(run.result or {}).get("letter", ""),
        run=run,
        worker_pid=run.owner.split(":")[1] if run.owner else "",
        review=run.waits.open().for_people().first(),
    )


def _path(refund: Refund, done: set[str]) -> list[str]:
    """The nodes that this refund comes by: a small one needs nobody's approval, and only a paid one needs the bank."""
    small = refund.order.total_pence <= LIMIT_PENCE
    refused = refund.outcome in (Outcome.DECLINED, Outcome.UNANSWERED)
    left_out = ({"decide"} if small else set()) | ({"pay", "settle"} if refused else set())
    return [node for node in STEPS if node not in left_out or node in done]


def _steps(path: Sequence[str], done: set[str], now: str, died: Counter[str], is_over: bool) -> list[Step]:
    later = "skipped" if is_over else "later"
    return [
        Step(STEPS[node], "done" if node in done else "now" if node == now else later, died[node])
        for node in path
    ]


def _words(refund: Refund, run: Run, now: str) -> str:
    if run.status == Status.SUCCEEDED:
        return _outcome(refund)
    if run.status == Status.WAITING:
        return WAITING.get(run.node, "Waiting for the next try.")
    if run.status == Status.RUNNING:
        return f"{STEPS[now]}." if now else "Nearly done."
    return "In the queue." if run.status == Status.QUEUED else STUCK


def _outcome(refund: Refund) -> str:
    return ENDED[Outcome(refund.outcome)] if refund.outcome else STUCK
