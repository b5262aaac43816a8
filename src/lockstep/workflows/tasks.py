"""Thin: the task calls one function. ``app.autodiscover_tasks()`` finds it."""

from __future__ import annotations

from celery import shared_task

from lockstep.workflows.engine import advance as advance_run

__all__ = ["advance"]


@shared_task(name="lockstep_workflows.advance", ignore_result=True, acks_late=False, max_retries=0)  # type: ignore[untyped-decorator]
def advance(run: str) -> str:
    """Take a run as far as it goes now. Whoever is not its owner leaves it alone."""
    return advance_run(run) or "nothing to do"
