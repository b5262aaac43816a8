"""Sinks as a project would write them."""

from __future__ import annotations

import threading

from lockstep.core.notify.messages import Message

__all__ = ["Broken", "Hanging", "Memory"]


class Memory:
    """Remembers; fails while ``down``."""

    messages: list[Message] = []
    down = False

    def send(self, message: Message, *, timeout_s: float) -> None:
        if Memory.down:
            raise RuntimeError("the password is hunter2")
        Memory.messages.append(message)


class Hanging:
    """Obeys no timeout."""

    free = threading.Event()

    def send(self, message: Message, *, timeout_s: float) -> None:
        Hanging.free.wait(30)


class Broken:
    def __init__(self) -> None:
        raise ValueError("it lacks a screw.")
