"""A sink for what Apprise knows."""

from __future__ import annotations

from collections.abc import Iterator

import apprise

from lockstep.core.exceptions import SinkMisconfigured, SinkUnavailable
from lockstep.core.notify.messages import Message
from lockstep.core.notify.sinks.http import from_environment

__all__ = ["Apprise"]

TYPES = {
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "error": apprise.NotifyType.FAILURE,
    "critical": apprise.NotifyType.FAILURE,
}


class Apprise:
    """One Apprise URL: ``slack://…``, ``msteams://…``, ``discord://…``. Apprise does not say why a service refused.

    Args:
        url_env: environment variable with the URL, which has the service's secret in it. One service a sink: with two
            in one, a failure of the second would repeat the message to the first.
    """

    def __init__(self, url_env: str) -> None:
        self.url_env = url_env

    def problems(self) -> Iterator[str]:
        """Whether Apprise knows the URL shows when it is used: to look, it would import all its plugins."""
        try:
            self._url()
        except SinkMisconfigured as error:
            yield str(error)

    def send(self, message: Message, *, timeout_s: float) -> None:
        over = "Over: " if message.resolves and not message.subject.startswith("Over") else ""
        kind = apprise.NotifyType.SUCCESS if message.resolves else TYPES.get(message.severity, TYPES["error"])
        taken = self._service(timeout_s).notify(
            title=f"{over}{message.subject}",
            body=message.told() or message.topic,
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not taken:
            raise SinkUnavailable("the service took no message, and Apprise does not say why")

    def _service(self, timeout_s: float) -> apprise.Apprise:
        service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Lockstep", async_mode=False))
        if not service.add(self._url()):
            raise SinkMisconfigured(f"{self.url_env} holds no URL that Apprise knows")
        for one in service:
            one.socket_connect_timeout = one.socket_read_timeout = timeout_s / 2
        return service

    def _url(self) -> str:
        return from_environment(self.url_env)
