"""Who and what a piece of work is for: contextvars that travel into threads and async tasks.

``with context.use(user=request.user, feature="support.answer"): ...``
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

__all__ = ["Context", "carry", "current", "use"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Context:
    """The subject of the current work. None means that nobody said."""

    feature: str | None = None
    """Name of the AI capability, for instance ``support.answer``."""
    user: Any = None
    """The Django user, or None for nobody and for jobs."""
    cohort: str | None = None
    """Group that experiments and spend are compared by."""
    tenant: str | None = None
    known: Mapping[str, Any] | None = None
    """Role -> object that the work is about, for redaction: ``{"patient": patient}``."""
    run: str | None = None
    """Identifier of the durable run."""
    node: str | None = None
    """Name of the graph node inside the run."""
    node_attempt: str | None = None
    """Which attempt at the node: the run's owner, counted, and its try, as in ``2.1``."""


_current: ContextVar[Context] = ContextVar("lockstep_context")


def current() -> Context:
    """The context of this thread or task; an empty one outside ``use``."""
    return _current.get(Context())


@contextmanager
def use(**changes: Any) -> Iterator[Context]:
    """Change some fields of the context for a block.

    Raises:
        TypeError: a name is no field of ``Context``.
    """
    token = _current.set(replace(current(), **changes))
    try:
        yield current()
    finally:
        _current.reset(token)


def carry(call: Callable[P, R]) -> Callable[P, R]:
    """``call`` bound to the context of now, for a thread or a pool: contextvars do not follow threads."""
    snapshot, lock = copy_context(), threading.Lock()

    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        with lock:  # a Context object cannot be entered twice at once; each call runs in a copy
            own = snapshot.copy()
        return own.run(call, *args, **kwargs)

    return carried
