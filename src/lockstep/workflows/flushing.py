"""Writes that wait for their transition, but not for long: siblings of a slow task are not run again for nothing."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["DELAY_S", "soon"]

DELAY_S = 0.015
"""So long a finished task waits for the others of its transition."""

_waiting: deque[tuple[float, Callable[[], None]]] = deque()
_awake = threading.Condition()
_thread: threading.Thread | None = None


def soon(flush: Callable[[], None]) -> None:
    """Call it in a moment, from a thread of its own; it raises nothing."""
    global _thread
    with _awake:
        _waiting.append((time.monotonic() + DELAY_S, flush))
        if _thread is None:
            _thread = threading.Thread(target=_flush, name="lockstep-flush", daemon=True)
            _thread.start()
        elif len(_waiting) == 1:
            _awake.notify()


def _flush() -> None:
    while True:
        with _awake:
            while not _waiting:
                _awake.wait()
            due, flush = _waiting[0]
            left = due - time.monotonic()
            if left <= 0:
                _waiting.popleft()
        if left > 0:
            time.sleep(left)
        else:
            flush()


def _forked() -> None:
    """The thread stayed behind, and what waited is the parent's."""
    global _awake, _thread
    _awake, _thread = threading.Condition(), None
    _waiting.clear()


os.register_at_fork(after_in_child=_forked)
