"""Sinks by alias."""

from __future__ import annotations

from typing import Protocol

from lockstep.core.backends import Backends
from lockstep.core.exceptions import SinkMisconfigured
from lockstep.core.notify.messages import Message
from lockstep.core.settings import ENTRY_KEYS, settings

__all__ = ["Sink", "get_sink"]


class Sink(Protocol):
    """Takes messages to people. Built with OPTIONS as keyword arguments, once for the process; building opens nothing.

    A sink may also have ``problems()``, an iterable of texts: what a check should say, such as a missing variable; and
    ``incidents = True``, where a test notice is to be resolved again.
    """

    def send(self, message: Message, *, timeout_s: float) -> None:
        """Hand one message over, or raise. It is called from a thread of its own, one message at a time.

        Args:
            message: may be one that was sent before, after a crash; ``message.id`` tells.
            timeout_s: longest wait. Who takes longer is given up, and the message is tried again.

        Raises:
            SinkRefused: this message is refused, others may not be.
            SinkUnavailable: nothing is taken now; ``retry_after_s`` is obeyed.
            Exception: anything else counts as unavailable; only its type is kept.
        """


_sinks: Backends[Sink] = Backends(
    'LOCKSTEP["core"]["notify"]["sinks"]',
    lambda: settings().notify.sinks,
    SinkMisconfigured,
    extras={"apprise": "apprise"},
    keys=ENTRY_KEYS,
)


def get_sink(alias: str) -> Sink:
    """The sink of an alias.

    Raises:
        SinkMisconfigured: the alias is unknown, or its entry cannot be used; the text says why.
    """
    return _sinks.get(alias)
