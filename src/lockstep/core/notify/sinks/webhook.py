"""Notices to a program of your own, signed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lockstep.core.exceptions import SinkMisconfigured
from lockstep.core.notify import signatures
from lockstep.core.notify.messages import Message
from lockstep.core.notify.sinks.http import checked, from_environment, post

__all__ = ["Webhook"]


class Webhook:
    """A POST of the message as JSON, signed as `Standard Webhooks <https://www.standardwebhooks.com>`_ says.

    Receivers check it with ``lockstep.core.notify.signatures.verify``, or with any library of that standard, and drop
    ids that they know. Any 2xx is success; redirects are not followed.

    Args:
        url: where to; https, or http to this machine itself.
        url_env: environment variable with the URL, where the URL is a secret.
        secret_env: environment variable with the secret: ``whsec_`` and base64, or any text of 16 characters or more.
            While it is being changed it may hold two, separated by a space; both sign.
        source: tells installations apart: ids are ``<source>-<notice>``.
    """

    def __init__(self, secret_env: str, url: str = "", url_env: str = "", source: str = "lockstep") -> None:
        if bool(url) == bool(url_env):
            raise ValueError("give url or url_env.")
        self.url = checked(url) if url else ""
        self.url_env = url_env
        self.secret_env = secret_env
        self.source = source

    def problems(self) -> Iterator[str]:
        for look in (self._url, self._secrets):
            try:
                look()
            except SinkMisconfigured as error:
                yield str(error)

    def send(self, message: Message, *, timeout_s: float) -> None:
        body = json.dumps(message.json(), ensure_ascii=False).encode()
        headers = signatures.sign(f"{self.source}-{message.id}", body, self._secrets())
        post(self._url(), body, {"Content-Type": "application/json", **headers}, timeout_s=timeout_s)

    def _url(self) -> str:
        if self.url:
            return self.url
        try:
            return checked(from_environment(self.url_env), self.url_env)
        except ValueError as error:
            raise SinkMisconfigured(str(error)) from None

    def _secrets(self) -> list[str]:
        found = from_environment(self.secret_env).split()
        try:
            for secret in found:
                signatures.key(secret)
        except ValueError as error:
            raise SinkMisconfigured(f"{self.secret_env}: {error}") from None
        return found
