"""Telling a worker that a run wants looking at. Losing, delaying or doubling that is harmless: sweepers ring again.

Nobody waits for the broker: a thread of its own speaks to it, and where it is down a request is as fast as ever.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from typing import Any

from lockstep.workflows.broker import tell
from lockstep.workflows.conf import settings

__all__ = ["ring"]

logger = logging.getLogger("lockstep.workflows")

MOST = 10_000
"""Doorbells that wait for a broker; the rest is left to sweepers."""
LEAVE_S = 1.0
"""Longest wait at the end of a process for those that are not told yet."""

_Waiting = queue.Queue[tuple[Any, str, str]]
_ringer: tuple[int, _Waiting] | None = None
_lock = threading.Lock()


def ring(run: str, queue_name: str = "") -> None:
    """Tell a worker, where there is a Celery app with a broker."""
    task = _task()
    if task is None:
        return
    if task.app.conf.task_always_eager:
        task.apply_async(args=[str(run)])
        return
    try:
        _started().put_nowait((task, str(run), queue_name or settings().queue))
    except queue.Full:
        logger.warning("Too many doorbells wait for the broker; a sweeper will see to run %s.", run)


def _task() -> Any:
    """The task of the app that is current in this thread: in the one that rings, another may be."""
    try:
        from celery import current_app

        from lockstep.workflows.tasks import advance
    except ImportError:
        return None
    conf = current_app.conf
    return current_app.tasks[advance.name] if conf.broker_url or conf.task_always_eager else None


def _started() -> _Waiting:
    global _ringer
    with _lock:
        if _ringer is None or _ringer[0] != os.getpid():
            _ringer = os.getpid(), queue.Queue(MOST)
            threading.Thread(target=_work, args=(_ringer[1],), name="lockstep-doorbell", daemon=True).start()
        return _ringer[1]


def _work(waiting: _Waiting) -> None:
    while True:
        try:
            tell(*waiting.get())
        finally:
            waiting.task_done()


@atexit.register
def _leave() -> None:
    if _ringer is None or _ringer[0] != os.getpid():
        return
    waiting = _ringer[1]
    with waiting.all_tasks_done:
        waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, LEAVE_S)


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
