"""What an error of a provider means: whether it was paid for, and whether to ask again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lockstep.llm.exceptions import (
    ProviderAuthError,
    ProviderBadAnswer,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)

__all__ = ["Failure", "failure", "pause_s"]

#: Worth another attempt: request timeout, too early, too many requests, and every 5xx.
TRANSIENT = {408, 425, 429}
#: A 429 that no waiting cures.
SPENT = {"insufficient_quota", "billing_hard_limit_reached"}
BACKOFF_S, CAP_S = 0.5, 8.0
LONGEST_WAIT_S = 60.0
"""A provider that wants to be left alone for longer gets the caller's error instead."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One error, understood."""

    kind: type[ProviderError]
    status: int | None
    retryable: bool
    charge: str
    """``none`` when nothing can have been answered, else ``bound``."""
    retry_after_s: float | None = None
    """What the provider asked for."""

    def error(self, found: BaseException, host: str, call: str) -> ProviderError:
        """For the caller: what happened, and nothing of what the provider said, which may be the prompt."""
        said = f"{host} answered {self.status}. " if self.status else f"{host}: {type(found).__name__}. "
        advice = " ".join((self.kind.__doc__ or "").split())
        facts = {"status": self.status, "retryable": self.retryable, "retry_after_s": self.retry_after_s}
        return self.kind(f"{said}{advice}", call=call, **facts)


def failure(error: BaseException) -> Failure:
    """Understand an error of httpx, OpenAI's or Anthropic's SDK, or LangChain by what it carries."""
    status = _status(error)
    if status is not None:
        return _answered(status, error)
    names = {cls.__name__ for one in _chain(error) for cls in type(one).__mro__}
    if names & {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "UnsupportedProtocol"}:
        return Failure(ProviderUnavailable, None, True, "none")
    if names & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
        return Failure(ProviderTimeout, None, True, "bound")
    if names & {"APIConnectionError", "TransportError", "ConnectionError"}:
        return Failure(ProviderUnavailable, None, True, "bound")
    return Failure(ProviderBadAnswer, None, False, "bound")


def pause_s(attempt: int, found: Failure) -> float:
    """Seconds before the next attempt (the first is 1): full jitter, and at least what the provider asked for."""
    jitter = random.uniform(0, min(CAP_S, BACKOFF_S * 2 ** (attempt - 1)))  # noqa: S311 -- no secret
    return (found.retry_after_s or 0.0) + jitter


def _answered(status: int, error: BaseException) -> Failure:
    after = _retry_after_s(error)
    if status in (401, 403):
        return Failure(ProviderAuthError, status, False, "none")
    if status == 429:
        again = getattr(error, "code", None) not in SPENT and (after or 0.0) <= LONGEST_WAIT_S
        return Failure(ProviderRateLimited, status, again, "none", after)
    if status in TRANSIENT or status >= 500:
        return Failure(ProviderUnavailable, status, (after or 0.0) <= LONGEST_WAIT_S, "none", after)
    if status < 400:  # answered, but not with what was asked for
        return Failure(ProviderBadAnswer, status, False, "bound")
    return Failure(ProviderRefused, status, False, "none")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from: SDKs wrap what the network said."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _status(error: BaseException) -> int | None:
    found = getattr(error, "status_code", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    return found if isinstance(found, int) else None


def _retry_after_s(error: BaseException) -> float | None:
    """``Retry-After`` in seconds, whether it is a number or a date."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
