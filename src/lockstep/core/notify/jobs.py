"""Registered jobs: each starts every so often, in one process of all that deliver."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DatabaseError, InterfaceError
from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now

from lockstep.core import ports
from lockstep.core.models import JobState
from lockstep.core.notify.outbox import database

__all__ = ["run_due"]

logger = logging.getLogger("lockstep.notify")


def run_due() -> list[str]:
    """Run what is due. A job that fails is logged, and runs again at its next time; the others run.

    Returns:
        Names of those that were run.

    Raises:
        DatabaseError: the table of jobs cannot be read.
    """
    known = ports.jobs.get()
    states = JobState.objects.using(database())
    missing = set(known) - set(states.filter(pk__in=known).values_list("pk", flat=True))
    if missing:
        states.bulk_create([JobState(name=name) for name in sorted(missing)], ignore_conflicts=True)
    due = set(states.filter(pk__in=known, next_at__lte=Now()).values_list("pk", flat=True))
    return [name for name, job in known.items() if name in due and _run(name, job)]


def _run(name: str, job: ports.Job) -> bool:
    states = JobState.objects.using(database()).filter(pk=name)
    later = ExpressionWrapper(Now() + Value(timedelta(seconds=job.every_s)), output_field=DateTimeField())
    if not states.filter(next_at__lte=Now()).update(next_at=later, ran_at=Now()):
        return False  # another process has it
    error = ""
    try:
        job.call()
    except (DatabaseError, InterfaceError) as found:
        logger.warning("The job %s failed: %s", name, type(found).__name__)
        error = type(found).__name__
    except Exception as found:
        logger.exception("The job %s failed.", name)
        error = type(found).__name__
    states.exclude(error=error).update(error=error)
    return True
