"""What an error of a provider means: whether it was paid for, and whether to ask again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lockstep.core import waiting
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
#: Said by a gateway that had passed the request on: it may have been answered behind it.
PASSED_ON = {502, 504, 524}
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
    """Seconds before the next attempt; the first is 1."""
    return waiting.pause_s(attempt - 1, found.retry_after_s, backoff_s=BACKOFF_S, cap_s=CAP_S)


def _answered(status: int, error: BaseException) -> Failure:
    after = _retry_after_s(error)
    if status in (401, 403):
        return Failure(ProviderAuthError, status, False, "none")
    if status == 429:
        again = getattr(error, "code", None) not in waiting.SPENT and (after or 0.0) <= LONGEST_WAIT_S
        return Failure(ProviderRateLimited, status, again, "none", after)
    if status in TRANSIENT or status >= 500:
        charge = "bound" if status in PASSED_ON else "none"
        return Failure(ProviderUnavailable, status, (after or 0.0) <= LONGEST_WAIT_S, charge, after)
    if status < 400:  # answered, but not with what was asked for
        return Failure(ProviderBadAnswer, status, False, "bound")
    return Failure(ProviderRefused, status, False, "none")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from: SDKs wrap what the network said. Not its context: that may be another
    provider's error, where the caller asks this one because the first could not be reached."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _status(error: BaseException) -> int | None:
    found = getattr(error, "status_code", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    return found if isinstance(found, int) else None


def _retry_after_s(error: BaseException) -> float | None:
    return waiting.retry_after_s(getattr(getattr(error, "response", None), "headers", None) or {})
