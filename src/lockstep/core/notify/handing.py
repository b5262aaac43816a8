"""From the outbox to deliveries: who wants which notice."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from lockstep.core.models import Delivery, Notice
from lockstep.core.notify.outbox import database
from lockstep.core.settings import NotifySettings, settings

__all__ = ["hand_out"]

BATCH = 200
"""Notices of one transaction."""


def hand_out() -> int:
    """Write the deliveries of new notices, oldest first.

    Two processes never hand out the notices of one incident in the wrong order: the second waits for the row locks of
    the first, which are held for two statements. Skipping locked rows here would let a resolve overtake its trigger.

    Returns:
        Number of notices handed out, ``BATCH`` at most.
    """
    using = database()
    if not Notice.objects.using(using).filter(handed_at=None).exists():
        return 0
    with transaction.atomic(using=using):
        new = list(
            Notice.objects.using(using).filter(handed_at=None).order_by("id").select_for_update()[:BATCH]
        )
        Delivery.objects.using(using).bulk_create(
            _deliveries(new, settings().notify, using), ignore_conflicts=True
        )
        ids = [notice.pk for notice in new]
        Notice.objects.using(using).filter(pk__in=ids).update(handed_at=Now())
    return len(new)


def _deliveries(new: list[Notice], wishes: NotifySettings, using: str) -> list[Delivery]:
    """A resolve goes to whom its trigger went, whatever its severity and topic."""
    entries = {alias: wishes.entry(alias) for alias in wishes.sinks}
    patience = timedelta(days=wishes.give_up_after_days)
    told = _told({notice.dedup_key for notice in new if notice.resolves and notice.dedup_key}, using)
    found = []
    for notice in new:
        for alias, entry in entries.items():
            follows = notice.resolves and told.get((alias, notice.dedup_key), False)
            if follows or entry.wants(notice.topic, notice.severity):
                found.append(Delivery(notice=notice, sink=alias, gives_up_at=notice.at + patience))
                if notice.dedup_key:
                    told[alias, notice.dedup_key] = not notice.resolves
    return found


def _told(keys: set[str], using: str) -> dict[tuple[str, str], bool]:
    """(sink, incident) -> whether the last thing that it was told, or will be, is that it goes on."""
    if not keys:
        return {}
    rows = Delivery.objects.using(using).filter(notice__dedup_key__in=keys).order_by()
    last = list(rows.values_list("sink", "notice__dedup_key").annotate(last=Max("notice_id")))
    closed = Notice.objects.using(using).filter(pk__in={pk for *_, pk in last}, resolves=True)
    resolves = set(closed.values_list("pk", flat=True))
    return {(sink, key): pk not in resolves for sink, key, pk in last}
