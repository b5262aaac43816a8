"""Notices as log records, for development."""

from __future__ import annotations

import logging

from lockstep.core.notify.messages import Message

__all__ = ["Log"]

LEVELS = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class Log:
    """Subject and body at the level of the notice.

    Args:
        logger: its name.
    """

    def __init__(self, logger: str = "lockstep.notices") -> None:
        self.logger = logging.getLogger(logger)

    def send(self, message: Message, *, timeout_s: float) -> None:
        level = LEVELS.get(message.severity, logging.ERROR)
        self.logger.log(level, "%s: %s\n%s", message.topic, message.subject, message.told())
