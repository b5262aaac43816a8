"""Who may send what, now: the state of a delivery between two processes.

A sink is held by one process at a time, for as long as one message may take; so its messages come one after another,
in order, and however many processes deliver, none is sent twice at once. The hold is a row with a time on it, not a
lock: no transaction is open while something is sent, and when its holder is killed another goes on after that time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connections, transaction
from django.db.models import (
    BooleanField,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from lockstep.core.models import Delivery, Notice, SinkState
from lockstep.core.notify.messages import Message
from lockstep.core.notify.outbox import database
from lockstep.core.settings import NotifySettings
from lockstep.core.waiting import pause_s

__all__ = ["Claim", "claim", "failed", "ready", "sent"]

GRACE_S = 30.0
"""A sink is held for so much longer than a message may take."""
BACKOFF_S, CAP_S = 2.0, 600.0
LONGEST_WAIT_S = 3600.0
"""Of what ``Retry-After`` asks for, so much is obeyed."""
MOST_TOLD = 1000
"""Notices of one incident that one message tells."""
REASON = 200
_FREE = Q(held_until=None) | Q(held_until__lte=Now())


@dataclass(frozen=True)
class Claim:
    """One message that this process may send to one sink."""

    sink: str
    token: uuid.UUID
    delivery: int
    """That of the message's notice."""
    first: int
    """The oldest one that the message tells; the same mostly."""
    earlier: tuple[int, ...]
    """Deliveries of the same incident that it tells too."""
    notice: Notice
    also: tuple[int, ...]
    """Notices of ``earlier``."""
    attempt: int
    """Counted from 0."""

    def message(self) -> Message:
        return Message.of(self.notice, self.also)


def ready(sinks: Iterable[str]) -> set[str]:
    """Sinks that something waits for and that nobody holds, as far as one can see without a lock. Those that nobody has
    delivered to yet get their row."""
    wanted = set(sinks)
    if not wanted:
        return set()
    using = database()
    states = SinkState.objects.using(using)
    free = ExpressionWrapper(_FREE & Q(resume_at__lte=Now()), output_field=BooleanField())
    known = dict(states.filter(pk__in=wanted).values_list("pk", free))
    missing = wanted - set(known)
    if missing:
        states.bulk_create([SinkState(name=name) for name in sorted(missing)], ignore_conflicts=True)
    found = {name for name in wanted if known.get(name, True)}
    waiting = Delivery.objects.using(using).filter(
        sink__in=found, state=Delivery.State.PENDING, next_at__lte=Now(), gives_up_at__gt=Now()
    )
    return set(waiting.order_by().values_list("sink", flat=True).distinct()) if found else set()


def claim(sink: str, wishes: NotifySettings) -> Claim | None:
    """The next message of a sink, held for this process; None where nothing is due, or another has it."""
    using = database()
    states = SinkState.objects.using(using).filter(_FREE, pk=sink, resume_at__lte=Now())
    with transaction.atomic(using=using):
        skip = connections[using].features.has_select_for_update_skip_locked
        if states.select_for_update(skip_locked=skip).first() is None:
            return None
        if _over_pace(sink, wishes.entry(sink).per_minute):
            return None
        first = _due(sink).select_related("notice").order_by("notice_id").first()
        if first is None:
            return None
        *earlier, last = _run(first)
        token = uuid.uuid4()
        until = _in(wishes.timeout_s + GRACE_S)
        # where a database cannot lock rows, this decides
        if not states.update(held_by=token, held_until=until):
            return None
        Delivery.objects.using(using).filter(pk=first.pk).update(attempts=F("attempts") + 1)
    return Claim(
        sink, token, last.pk, first.pk, tuple(one.pk for one in earlier), last.notice,
        tuple(one.notice_id for one in earlier), first.attempts,
    )  # fmt: skip


def sent(done: Claim) -> None:
    """The sink took it. Also true when the hold has lapsed meanwhile: then it may be sent once more by another."""
    using = database()
    with transaction.atomic(using=using):
        waiting = Delivery.objects.using(using).exclude(state=Delivery.State.SENT)
        told = {"state": Delivery.State.SENT, "sent_at": Now(), "error": ""}
        waiting.filter(pk__in=done.earlier).update(told_in=done.notice.pk, **told)
        waiting.filter(pk=done.delivery).update(told_in=None, **told)
        _held(done).update(held_by=None, held_until=None, failures=0, error="", resume_at=Now())


def failed(tried: Claim, reason: str, *, down: bool, retry_after_s: float | None = None) -> None:
    """The sink did not take it: this message waits, and all of the sink where it is ``down``."""
    using = database()
    asked = min(retry_after_s or 1.0, LONGEST_WAIT_S)
    reason = reason[:REASON]
    with transaction.atomic(using=using):
        Delivery.objects.using(using).filter(pk=tried.first, state=Delivery.State.PENDING).update(
            next_at=_in(_pause(tried.attempt, asked)), error=reason
        )
        state = _held(tried).first()
        if state is None:
            return
        after = _pause(state.failures, asked) if down else 0.0
        _held(tried).update(
            held_by=None,
            held_until=None,
            resume_at=_in(after),
            failures=state.failures + 1 if down else state.failures,
            error=reason if down else state.error,
        )


def _pause(failures: int, asked_s: float) -> float:
    return pause_s(min(failures, 20), asked_s, backoff_s=BACKOFF_S, cap_s=CAP_S - 1)


def _due(sink: str) -> QuerySet[Delivery]:
    """What may be sent: due, not given up, and nothing of the same incident before it still waits."""
    waiting = Delivery.objects.using(database()).filter(
        sink=sink, state=Delivery.State.PENDING, gives_up_at__gt=Now()
    )
    before = waiting.filter(
        notice__dedup_key=OuterRef("notice__dedup_key"), notice_id__lt=OuterRef("notice_id")
    )
    return waiting.filter(next_at__lte=Now()).filter(Q(notice__dedup_key="") | ~Exists(before))


def _run(first: Delivery) -> list[Delivery]:
    """The delivery, and those after it that say the same incident goes on: one message tells them all, so that a sink
    that was down is not flooded when it is back."""
    if not first.notice.dedup_key or first.notice.resolves:
        return [first]
    waiting = Delivery.objects.using(database()).filter(
        sink=first.sink, state=Delivery.State.PENDING, gives_up_at__gt=Now(),
        notice__dedup_key=first.notice.dedup_key, notice_id__gt=first.notice_id,
    )  # fmt: skip
    run = [first]
    for one in waiting.select_related("notice").order_by("notice_id")[:MOST_TOLD]:
        if one.notice.resolves:
            break
        run.append(one)
    return run


def _over_pace(sink: str, per_minute: int) -> bool:
    """Whether the sink had its messages of the last minute; it is left alone until there is room again."""
    using = database()
    recent = Delivery.objects.using(using).filter(
        sink=sink, state=Delivery.State.SENT, sent_at__gt=_in(-60.0), told_in=None
    )
    found = recent.order_by("-sent_at").values_list("sent_at", flat=True)[:per_minute]
    times = [at for at in found if at]
    if len(times) < per_minute:
        return False
    SinkState.objects.using(using).filter(pk=sink).update(resume_at=times[-1] + timedelta(seconds=60))
    return True


def _held(one: Claim) -> QuerySet[SinkState]:
    return SinkState.objects.using(database()).filter(pk=one.sink, held_by=one.token)


def _in(seconds: float) -> Combinable:
    """That long from now, by the database's clock."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())
