"""A second chance, by hand."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, OuterRef, QuerySet, Value
from django.db.models.functions import Now

from lockstep.core.models import Delivery, Notice, SinkState
from lockstep.core.notify.outbox import database
from lockstep.core.settings import settings

__all__ = ["deliver_again"]


def deliver_again(notices: QuerySet[Notice]) -> int:
    """Try at once what waits or was given up, for as long as a new notice would be tried. What was sent stays sent.

    Notices that were handed to nobody are handed out anew: there may be a sink now.

    Returns:
        Number of deliveries, and of notices that nobody was told of.
    """
    using = database()
    patience = Value(timedelta(days=settings().notify.give_up_after_days))
    until = ExpressionWrapper(Now() + patience, output_field=DateTimeField())
    ids = list(notices.order_by().values_list("pk", flat=True))
    with transaction.atomic(using=using):
        open_ = Delivery.objects.using(using).filter(notice__in=ids).exclude(state=Delivery.State.SENT)
        sinks = set(open_.values_list("sink", flat=True))
        count = open_.update(
            state=Delivery.State.PENDING, attempts=0, next_at=Now(), gives_up_at=until, error=""
        )
        SinkState.objects.using(using).filter(pk__in=sinks).update(resume_at=Now())
        nobody = Notice.objects.using(using).filter(pk__in=ids, handed_at__isnull=False)
        nobody = nobody.exclude(Exists(Delivery.objects.filter(notice=OuterRef("pk"))))
        return count + nobody.update(handed_at=None)
