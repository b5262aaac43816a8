"""What becomes of old notices: given up, then deleted."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DateTimeField, Exists, ExpressionWrapper, OuterRef, Value
from django.db.models.functions import Now

from lockstep.core.models import Delivery, Notice
from lockstep.core.notify.outbox import database
from lockstep.core.settings import settings

__all__ = ["EVERY_S", "tidy"]

EVERY_S = 60.0
BATCH = 1000
"""Notices deleted at a time."""


def tidy() -> None:
    """Give up what could not be delivered for too long, and delete what was handed out long ago."""
    using = database()
    waiting = Delivery.objects.using(using).filter(state=Delivery.State.PENDING)
    waiting.filter(gives_up_at__lte=Now()).update(state=Delivery.State.DEAD)
    age = ExpressionWrapper(
        Now() - Value(timedelta(days=settings().notify.keep_days)), output_field=DateTimeField()
    )
    old = Notice.objects.using(using).filter(at__lt=age, handed_at__isnull=False)
    old = old.exclude(Exists(waiting.filter(notice=OuterRef("pk"))))
    Notice.objects.using(using).filter(
        pk__in=list(old.order_by("at").values_list("pk", flat=True)[:BATCH])
    ).delete()
