"""What an error says about the attempt that it ended: whether the same may be tried again, and when.

Errors of httpx, requests, urllib, aiohttp and of SDKs made on them are known by their names and by the status that they
carry: none of them is imported.
"""

from __future__ import annotations

import asyncio
import errno
import math
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

__all__ = ["Classifier", "Failure", "Kind", "classify", "failure_of"]


class Kind(StrEnum):
    """Of a failure."""

    TRANSIENT = "transient"
    """It may pass: the same is tried again."""
    PERMANENT = "permanent"
    """It would fail again."""
    UNKNOWN = "unknown"
    """The request was on its way: it may have been carried out."""
    CANCELLED = "cancelled"
    """We gave it up ourselves."""


Classifier = Callable[[BaseException], "Kind | str | None"]
"""A tool's own opinion of an error; None leaves it to ours."""

LONGEST_S = 366 * 86400.0
"""A Retry-After that says more is taken for this."""

REFUSED = frozenset({408, 425, 429})
"""Statuses by which a server says that it did nothing, and to come again."""

PERMANENT = frozenset({
    "SSLCertVerificationError", "CertificateError", "InvalidURL", "MissingSchema", "InvalidSchema",
    "UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects", "ToolFailed",
})  # fmt: skip
UNSENT = frozenset({
    "ConnectionRefusedError", "gaierror", "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError",
    "NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ClientConnectorError",
    "EndpointConnectionError",
})  # fmt: skip
"""Nothing had been sent when these were raised."""
SENT = frozenset({
    "TimeoutError", "ConnectionError", "TimeoutException", "NetworkError", "RemoteProtocolError", "Timeout",
    "ChunkedEncodingError", "ReadTimeoutError", "ProtocolError", "IncompleteRead", "BadStatusLine", "SSLError",
    "ClientConnectionError", "ClientPayloadError", "APIConnectionError", "APITimeoutError", "ConnectionClosedError",
    "OperationalError", "InterfaceError", "ToolDied", "SoftTimeLimitExceeded",
})  # fmt: skip
"""Connections and time that ran out somewhere: perhaps after the request had arrived."""
UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, NameError)
"""Of a program, which no second try mends, whatever caused them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed. It holds no text of the error."""

    kind: Kind
    error: str
    """Dotted name of the error's class."""
    status: int | None = None
    """Of HTTP."""
    retry_after_s: float | None = None
    """The server asks not to be asked sooner."""
    sent: bool = True
    """The request may have been carried out."""


def classify(error: BaseException) -> Failure:
    """What is known of any error."""
    name = dotted(type(error))
    if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
        return Failure(Kind.CANCELLED, name)
    status = _status(error)
    if status is not None:
        kind = Kind.TRANSIENT if status in REFUSED or status >= 500 else Kind.PERMANENT
        return Failure(kind, name, status, _retry_after(error), sent=status >= 500)
    chain = list(_chain(error))
    if any(_names(one) & PERMANENT for one in chain):
        return Failure(Kind.PERMANENT, name)
    if any(_is_unsent(one) for one in chain):
        return Failure(Kind.TRANSIENT, name, retry_after_s=_retry_after(error), sent=False)
    if any(_names(one) & SENT or isinstance(one, ssl.SSLError) for one in chain):
        return Failure(Kind.TRANSIENT, name, retry_after_s=_retry_after(error))
    return Failure(Kind.PERMANENT, name)


def failure_of(error: BaseException, effect: str, own: Classifier | None = None) -> Failure:
    """The same for a call of a tool: what may have been carried out is not tried again where once is the most.

    Raises:
        ValueError: ``own`` gave something that is no kind.
    """
    found = classify(error)
    if found.kind is Kind.CANCELLED:
        return found
    told = None if own is None else own(error)
    if told is not None:
        found = replace(found, kind=Kind(told))
    elif found.kind is Kind.TRANSIENT and found.sent and effect == "at_most_once":
        found = replace(found, kind=Kind.UNKNOWN)
    if found.kind is Kind.UNKNOWN and effect != "at_most_once":
        found = replace(found, kind=Kind.TRANSIENT)  # repeating does no harm
    return found


def dotted(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:200]


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _is_unsent(error: BaseException) -> bool:
    return bool(_names(error) & UNSENT) or (isinstance(error, OSError) and error.errno in UNREACHABLE)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: libraries keep it as the reason, as an argument or as the cause."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, FAULTS) and not isinstance(one, OSError):
            continue
        waiting += [getattr(one, "reason", None), one.__cause__, *one.args]


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for holder, names in (
        (response, ("status_code", "status")),
        (error, ("status_code", "status", "http_status", "code")),
    ):
        for name in names:
            found = getattr(holder, name, None)
            if isinstance(found, int) and not isinstance(found, bool) and 100 <= found <= 599:
                return int(found)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    return None


def _retry_after(error: BaseException) -> float | None:
    for holder in (getattr(error, "response", None), error):
        headers = getattr(holder, "headers", None)
        if headers is None or not hasattr(headers, "get"):
            continue
        given = headers.get("Retry-After") or headers.get("retry-after")
        if given is not None:
            return _seconds(str(given).strip())
    return None


def _seconds(given: str) -> float | None:
    try:
        found = float(given)
    except ValueError:
        try:
            found = parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(found) else min(max(found, 0.0), LONGEST_S)
