"""What people do to a run from outside: end it, or start it again where it stood."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction

from lockstep.workflows import doorbell
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import NotRetryable
from lockstep.workflows.models import Run

__all__ = ["cancel", "retry"]


def cancel(run: Run | str, *, reason: str = "cancelled") -> str:
    """End a run: at once where nobody is at it, else at its next transition. The status that it has now.

    Raises:
        Run.DoesNotExist: there is none.
    """
    return _told(run, "SELECT lockstep_workflows_cancel_v1(%s, %s)", reason[:100])


def retry(run: Run | str) -> None:
    """Let a run that failed, was given up, blocked or cancelled go on from where it stood: what its nodes did stays
    done, and the one that failed is run again.

    Raises:
        NotRetryable: it is under way, has succeeded, or its content has expired.
        Run.DoesNotExist: there is none.
    """
    status = _told(run, "SELECT lockstep_workflows_retry_v1(%s)")
    if status != "queued":
        raise NotRetryable(f"Run {getattr(run, 'pk', run)} is {status}: it cannot be tried again.")
    key = str(run.pk if isinstance(run, Run) else run)
    transaction.on_commit(lambda: doorbell.ring(key), using=settings().database, robust=True)


def _told(run: Run | str, statement: str, *more: Any) -> str:
    key = run.pk if isinstance(run, Run) else run
    with connections[settings().database].cursor() as cursor:
        cursor.execute(statement, [key, *more])
        status: str | None = cursor.fetchone()[0]
    if status is None:
        raise Run.DoesNotExist(f"There is no run {key}.")
    return status
