"""Things that must not cross a fork: sessions with threads, connection pools, locks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["PerProcess"]

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value made at first use in each process, once, whichever thread asks first.

    A forked child makes its own. What it inherited is kept but never touched: closing it would wait
    for threads that were not forked, or write to a socket that the parent uses.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], object] | None = None) -> None:
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._held: list[T] = []
        self._inherited: list[T] = []
        _all.add(self)
        if close:  # also when nobody says close(): at collection or at exit
            weakref.finalize(self, _close_all, self._held, close)

    def get(self) -> T:
        try:
            return self._held[0]
        except IndexError:  # nothing made yet, or dropped this moment
            return self._made()

    def _made(self) -> T:
        with self._lock:
            if not self._held:
                self._held.append(self._make())
            return self._held[0]

    def drop(self) -> None:
        """Close the value; the next ``get`` makes another."""
        with self._lock:
            _close_all(self._held, self._close)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._inherited += self._held
        self._held.clear()


def _close_all(held: list[T], close: Callable[[T], object] | None) -> None:
    while held:
        value = held.pop()
        if close:
            close(value)


def _forget_in_child() -> None:
    for value in list(_all):
        value._after_fork()


_all: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
