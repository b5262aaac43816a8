"""PagerDuty, by its Events API v2: notices of one incident are one alert, and a resolve closes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lockstep.core.exceptions import SinkMisconfigured
from lockstep.core.notify import texts
from lockstep.core.notify.messages import Message
from lockstep.core.notify.sinks.http import checked, from_environment, post

__all__ = ["PagerDuty"]


class PagerDuty:
    """One event a message.

    Args:
        routing_key_env: environment variable with the integration's key.
        url: the service's address; ``https://events.eu.pagerduty.com/v2/enqueue`` for its European region.
        source: what is affected, as PagerDuty shows it.
    """

    incidents = True
    """A test notice is closed again at once: nobody shall be called for it."""

    def __init__(
        self,
        routing_key_env: str,
        url: str = "https://events.pagerduty.com/v2/enqueue",
        source: str = "lockstep",
    ) -> None:
        self.routing_key_env = routing_key_env
        self.url = checked(url)
        self.source = source

    def problems(self) -> Iterator[str]:
        try:
            from_environment(self.routing_key_env)
        except SinkMisconfigured as error:
            yield str(error)

    def send(self, message: Message, *, timeout_s: float) -> None:
        body = json.dumps(self._event(message), ensure_ascii=False).encode()
        post(self.url, body, {"Content-Type": "application/json"}, timeout_s=timeout_s)

    def _event(self, message: Message) -> dict[str, Any]:
        event: dict[str, Any] = {
            "routing_key": from_environment(self.routing_key_env),
            "event_action": "resolve" if message.resolves else "trigger",
            # a message without an incident is one of its own, also when it is sent again
            "dedup_key": message.dedup_key or f"{self.source}-{message.id}",
        }
        if message.resolves:
            return event
        return event | {
            "payload": {
                "summary": texts.line(message.subject, 1024) or message.topic,
                "source": self.source,
                "severity": message.severity,
                "timestamp": message.at.isoformat(timespec="milliseconds"),
                "component": message.topic,
                "custom_details": {
                    **message.facts, "body": message.told(), "notice": message.id, "topic": message.topic,
                },
            }
        }  # fmt: skip
