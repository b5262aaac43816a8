"""What every Celery worker does beside its tasks: look for runs that nobody is at, tell of those that one of its
processes died over, and let go of its own in time.

Nothing is to be set up: with the app installed, Celery's signals are all it needs.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from lockstep.workflows import doorbell, draining, registry
from lockstep.workflows.sweeping import Sweeper

__all__ = ["connect"]

_sweepers: list[Sweeper] = []


def connect() -> None:
    """Listen to Celery; its workers have imported it before Django is set up, and nobody else needs it."""
    if "celery" not in sys.modules:
        return
    from celery import signals

    signals.worker_init.connect(_init, dispatch_uid="lockstep_workflows.init")
    signals.worker_ready.connect(_ready, dispatch_uid="lockstep_workflows.ready")
    signals.worker_shutting_down.connect(_shutting_down, dispatch_uid="lockstep_workflows.drain")
    signals.worker_shutdown.connect(_shutdown, dispatch_uid="lockstep_workflows.shutdown")
    signals.task_failure.connect(_failed, dispatch_uid="lockstep_workflows.failed")


def _init(**_: Any) -> None:
    """Import here what processes of the pool will need: they begin at once, and share it.

    The sweeper must not be the first to: a process that is forked while another thread imports a module waits for that
    import for ever.
    """
    registry.load()


def _ready(**_: Any) -> None:
    draining.forget()
    sweeper = Sweeper()
    _sweepers.append(sweeper)
    sweeper.start()
    # Celery collects garbage before it forks for a process that died, and for up to a second, among all that Django and
    # LangGraph are made of, nobody hears of the run: that is no garbage
    gc.collect()
    gc.freeze()


def _shutting_down(**_: Any) -> None:
    """Runs stop at their next transition, and another worker is told of them."""
    draining.ask()


def _shutdown(**_: Any) -> None:
    while _sweepers:
        _sweepers.pop().stop()


def _failed(sender: Any, exception: BaseException, args: Any, **_: Any) -> None:
    """The parent of a process that died over a run sees it before any sweep."""
    from billiard.exceptions import WorkerLostError

    if sender.name == "lockstep_workflows.advance" and isinstance(exception, WorkerLostError):
        doorbell.ring(args[0], (sender.request.delivery_info or {}).get("routing_key", ""))
