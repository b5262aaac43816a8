"""Sync tools that outlive their time: a thread cannot be stopped, only left behind and counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections

from lockstep.core import context
from lockstep.core.testruns import under_test_runner

__all__ = ["MOST", "RETIRED", "abandoned", "call", "wants_to_retire"]

MOST = 4
"""Threads left behind with which a process had better end."""
RETIRED = 75
"""Its exit status then: another try may succeed."""

R = TypeVar("R")
_left: set[threading.Thread] = set()
_lock = threading.Lock()


def abandoned() -> int:
    """Threads of this process that still run though their time is over."""
    with _lock:
        _left.difference_update([thread for thread in _left if not thread.is_alive()])
        return len(_left)


def wants_to_retire() -> bool:
    """Whether so many threads were left behind that the process should take no more runs and end."""
    return abandoned() >= MOST


def call(work: Callable[[], R], timeout_s: float, late: Callable[[R], None]) -> R:
    """``work()`` in a thread with this context.

    Args:
        late: is told of a result that comes after the time.

    Raises:
        TimeoutError: it has not ended in time, and goes on; nobody can stop it.
    """
    ended = threading.Event()
    found: list[Any] = [None, None]
    lock = threading.Lock()
    given_up = False

    def run() -> None:
        with _connections(shared):
            try:
                found[0] = work()
            except BaseException as error:
                found[1] = error
            with lock:
                ended.set()
                told = given_up and found[1] is None
            if told:
                late(found[0])

    shared = _shareable()
    thread = threading.Thread(target=context.carry(run), name="lockstep-tool", daemon=True)
    thread.start()
    try:
        ended.wait(timeout_s)
    finally:
        with lock:
            given_up = not ended.is_set()
        if given_up:
            with _lock:
                _left.add(thread)
    if given_up:
        raise TimeoutError(f"It has not ended after {timeout_s:g} s.")
    if found[1] is not None:
        raise found[1]
    result: R = found[0]
    return result


def _shareable() -> dict[str, Any]:
    """Under a test runner a tool sees what its test has not committed: the thread uses the caller's connections."""
    if not under_test_runner():
        return {}
    return {one.alias: one for one in connections.all(initialized_only=True)}


@contextmanager
def _connections(shared: dict[str, Any]) -> Any:
    """A thread that ends leaves no connection behind."""
    for alias, connection in shared.items():
        connection.inc_thread_sharing()
        connections[alias] = connection
    try:
        yield
    finally:
        for connection in shared.values():
            connection.dec_thread_sharing()
        for connection in connections.all(initialized_only=True):
            if connection.alias not in shared:
                connection.close()
