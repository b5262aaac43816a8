"""Thin: each task calls one function."""

from __future__ import annotations

from celery import shared_task

from lockstep.core.notify.deliverer import deliver as deliver_due

__all__ = ["deliver"]


@shared_task(name="lockstep_core.deliver", ignore_result=True)  # type: ignore[untyped-decorator]
def deliver() -> str:
    """Run the jobs that are due and deliver what is due; for beat, every few seconds. Overlaps are harmless."""
    tally = deliver_due()
    return f"{tally.handed} new, {tally.sent} delivered, {tally.failed} failed attempts"
