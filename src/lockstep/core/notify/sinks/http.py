"""One POST to a service of somebody else, with nothing that a message does not need: no redirects, no cookies."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from lockstep.core.exceptions import SinkMisconfigured, SinkRefused, SinkTimeout, SinkUnavailable
from lockstep.core.waiting import retry_after_s

__all__ = ["checked", "from_environment", "post"]

OF_THE_MESSAGE = {400, 409, 413, 415, 422}
"""Statuses that say something about this message; all others say it of the service."""


def from_environment(name: str) -> str:
    """The value of a variable that holds a secret.

    Raises:
        SinkMisconfigured: it is not set.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise SinkMisconfigured(f"the environment variable {name} is not set")
    return value


def checked(url: str, name: str = "url") -> str:
    """The URL, if messages may be posted to it.

    Raises:
        ValueError: it is not https, or not one at all. The text has nothing of it: a URL may be a secret.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{name} is no URL.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is no URL: write https://host/path.")
    if parts.username or parts.password:
        raise ValueError(f"{name} has a user or password in it.")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise ValueError(f"{name} must be https: what is sent by http can be read and changed on its way.")
    if any(ord(char) <= 32 or ord(char) >= 127 for char in url):
        raise ValueError(f"{name} has characters that a URL cannot have.")
    return url


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> None:
    """Post and be done with any 2xx. Nothing of the answer is kept but its status.

    Raises:
        SinkRefused: the service refuses this message.
        SinkTimeout: it took longer, however busily it was answering.
        SinkUnavailable: it cannot be reached, cannot be trusted, or wants nothing now.
    """
    parts = urlsplit(url)
    connection = _connection(url, timeout_s)
    late = threading.Event()

    def cut() -> None:
        late.set()
        if connection.sock:
            # not the method of an SSL socket, which belongs to the thread that reads; it may be closed already
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"User-Agent": "django-lockstep", **headers})
        answer = connection.getresponse()
        if late.is_set():  # it ends like headers that are complete
            raise TimeoutError
        status, wait_s = answer.status, retry_after_s({"retry-after": answer.getheader("Retry-After") or ""})
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(error, late=late.is_set(), host=parts.hostname or "", timeout_s=timeout_s) from None
    finally:
        timer.cancel()
        connection.close()
    _judge(status, wait_s, parts.hostname or "")


def _judge(status: int, wait_s: float | None, host: str) -> None:
    if 200 <= status < 300:
        return
    if status in OF_THE_MESSAGE:
        raise SinkRefused(f"{host} answered {status}", retry_after_s=wait_s)
    said = f"{host} answered {status}"
    if 300 <= status < 400:
        said += "; redirects are not followed"
    raise SinkUnavailable(said, retry_after_s=wait_s)


def _failure(error: Exception, *, late: bool, host: str, timeout_s: float) -> SinkUnavailable:
    if late or isinstance(error, TimeoutError):
        return SinkTimeout(f"{host}: no answer within {timeout_s:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        return SinkUnavailable(f"{host}: certificate not trusted ({error.verify_message})")
    if isinstance(error, ssl.SSLError):
        return SinkUnavailable(f"{host}: no TLS connection")
    if isinstance(error, socket.gaierror):
        return SinkUnavailable(f"{host}: no such host")
    if isinstance(error, OSError) and error.errno:
        return SinkUnavailable(f"{host}: {os.strerror(error.errno)}")
    return SinkUnavailable(f"{host}: {type(error).__name__}")


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    """Straight there, or through the proxy that the environment names."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = "" if _loopback(host) or proxy_bypass(host) else getproxies().get(parts.scheme, "")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    context = ssl.create_default_context()
    if not proxy:
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
    via = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(via.hostname or "", via.port, timeout=timeout_s, context=context)
    connection.set_tunnel(host, parts.port)
    return connection


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
