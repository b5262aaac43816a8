"""What every Celery worker does beside its tasks: look for runs that nobody is at, and let go of its own in time.

Nothing is to be set up: with the app installed, Celery's signals are all it needs.
"""

from __future__ import annotations

import sys
from typing import Any

from lockstep.workflows import draining
from lockstep.workflows.sweeping import Sweeper

__all__ = ["connect"]

_sweepers: list[Sweeper] = []


def connect() -> None:
    """Listen to Celery; its workers have imported it before Django is set up, and nobody else needs it."""
    if "celery" not in sys.modules:
        return
    from celery import signals

    signals.worker_ready.connect(_ready, dispatch_uid="lockstep_workflows.ready")
    signals.worker_shutting_down.connect(_shutting_down, dispatch_uid="lockstep_workflows.drain")
    signals.worker_shutdown.connect(_shutdown, dispatch_uid="lockstep_workflows.shutdown")


def _ready(**_: Any) -> None:
    draining.forget()
    sweeper = Sweeper()
    _sweepers.append(sweeper)
    sweeper.start()


def _shutting_down(**_: Any) -> None:
    """Runs stop at their next transition, and another worker is told of them."""
    draining.ask()


def _shutdown(**_: Any) -> None:
    while _sweepers:
        _sweepers.pop().stop()
