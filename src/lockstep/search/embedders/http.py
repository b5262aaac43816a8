"""One JSON endpoint of a provider: attempts, waits and errors, with nothing of our texts in them."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from lockstep.core import waiting
from lockstep.core.ports import Usage
from lockstep.search.embedders.base import Deadline
from lockstep.search.embedders.process import PerProcess
from lockstep.search.exceptions import (
    BadAnswer,
    EmbedderError,
    EmbedderMisconfigured,
    EmbedderRefused,
    EmbedderTimeout,
    EmbedderUnavailable,
)

__all__ = ["Endpoint", "Retries", "without_echo"]

T = TypeVar("T")

#: Worth another attempt: request timeout, conflict, too early, too many requests, and every 5xx.
TRANSIENT = {408, 409, 425, 429}
HINTS = {
    401: "Check the key.",
    403: "Check what the key may use.",
    404: "Check base_url and model.",
    413: "Lower batch_size, max_batch_tokens or max_tokens.",
    429: "The quota is spent: see the provider's billing page.",
}


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a request is sent again."""

    most: int = 4
    """Attempts after the first."""
    backoff_s: float = 0.5
    """The n-th wait is drawn between 0 and ``backoff_s * 2**n`` (full jitter)."""
    cap_s: float = 8.0

    def pause_s(self, attempt: int, error: EmbedderError) -> float:
        """Seconds to wait after an attempt, counted from 0; at least what the provider asked for."""
        after_s = getattr(error, "retry_after_s", None)
        return waiting.pause_s(attempt, after_s, backoff_s=self.backoff_s, cap_s=self.cap_s)


class Endpoint:
    """POSTs JSON to one URL and reads JSON. Connections are kept, shared by threads, one pool a process.

    Args:
        url: whole URL; credentials do not belong in it, URLs are logged.
        headers: called before each attempt, so that a rotated key is obeyed.
        attempt_s: longest wait for one attempt, in seconds.
        ca_file: certificates to trust instead of the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        retries: Retries,
        attempt_s: float,
        ca_file: str | None = None,
    ) -> None:
        self.url = url
        self.host = _checked_host(url)
        self.headers = headers
        self.retries = retries
        self.attempt_s = attempt_s
        self._client = PerProcess(lambda: _client(ca_file), httpx.Client.close)

    def post(
        self,
        body: Mapping[str, Any],
        read: Callable[[Any, Usage], T],
        *,
        measure: Callable[[], AbstractContextManager[Usage]],
        deadline: Deadline,
        hidden: Sequence[str],
        most_bytes: int,
    ) -> T:
        """The answer to ``body`` as ``read`` understands it; transient failures are tried again.

        Args:
            read: turns the parsed JSON into the result and notes the usage, or raises.
            measure: surrounds each attempt.
            hidden: texts that no error may repeat.
            most_bytes: longest answer that is read.

        Raises:
            EmbedderTimeout, EmbedderUnavailable: still failing when attempts or time ran out.
            EmbedderRefused: the provider will not do it.
            BadAnswer: it answered something else.
        """
        for attempt in count():
            headers = dict(self.headers())
            try:
                with measure() as usage:
                    return read(self._attempt(body, headers, deadline, hidden, most_bytes), usage)
            except EmbedderError as error:
                pause_s = self.retries.pause_s(attempt, error)
                if not error.retryable or attempt == self.retries.most or pause_s >= deadline.left_s():
                    error.attempts = attempt + 1  # type: ignore[attr-defined]
                    raise
            time.sleep(pause_s)
        raise AssertionError  # count() does not end

    def close(self) -> None:
        self._client.drop()

    def _attempt(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        deadline: Deadline,
        hidden: Sequence[str],
        most_bytes: int,
    ) -> Any:
        limit_s = min(self.attempt_s, deadline.left_s())
        if limit_s <= 0:
            raise EmbedderTimeout(f"No time was left to ask {self.host}.")
        client = self._client.get()
        # httpx errors carry the request, and with it key and texts: "from None" keeps them out of reports
        try:
            with client.stream("POST", self.url, json=body, headers=headers, timeout=limit_s) as response:
                content = self._content(response, Deadline.after(limit_s), most_bytes)
        except httpx.TimeoutException:
            raise self._too_slow(limit_s) from None
        except httpx.HTTPError as error:
            raise self._unreached(error) from None
        if response.is_success:
            return self._parsed(content)
        raise self._failure(response, content, hidden)

    def _content(self, response: httpx.Response, stop: Deadline, most_bytes: int) -> bytes:
        """The body; httpx limits each wait, this limits a body that trickles in."""
        limit_s, content = stop.left_s(), bytearray()
        for part in response.iter_bytes():
            content += part
            if stop.left_s() <= 0:
                raise self._too_slow(limit_s)
            if len(content) > most_bytes:
                raise BadAnswer(f"{self.host} answered more than {most_bytes:,} bytes.")
        return bytes(content)

    def _too_slow(self, limit_s: float) -> EmbedderTimeout:
        return EmbedderTimeout(
            f"{self.host} did not answer within {limit_s:.1f} s. Try again, or raise attempt_timeout_s.",
            host=self.host,
        )

    def _unreached(self, error: httpx.HTTPError) -> EmbedderUnavailable:
        shown = f": {error}" if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) else ""
        return EmbedderUnavailable(
            f"{self.host} cannot be reached ({type(error).__name__}{shown}). Try again later.", host=self.host
        )

    def _parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:  # often half an answer, from a proxy that gave up
            raise BadAnswer(
                f"{self.host} answered {len(content)} bytes that are no JSON. Does base_url end in /v1?",
                retryable=True,
            ) from None

    def _failure(self, response: httpx.Response, content: bytes, hidden: Sequence[str]) -> EmbedderError:
        status, (code, message) = response.status_code, _problem(content)
        said = without_echo(message, hidden)
        text = f"{self.host} answered {status}" + (f": {said}" if said else ".")
        facts = {"status": status, "host": self.host}
        if (status in TRANSIENT or status >= 500) and code not in waiting.SPENT:
            return EmbedderUnavailable(text, retry_after_s=waiting.retry_after_s(response.headers), **facts)
        return EmbedderRefused(f"{text} {HINTS.get(status, '')}".strip(), **facts)


def _client(ca_file: str | None) -> httpx.Client:
    verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
    return httpx.Client(verify=verify, headers={"User-Agent": "django-lockstep"})


def _checked_host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EmbedderMisconfigured(f"base_url {parts.geturl()!r} is no http(s) URL: write https://host/v1.")
    if parts.username or parts.password:
        raise EmbedderMisconfigured("base_url holds credentials, and URLs are logged: use api_key_env.")
    return parts.netloc


def _problem(content: bytes) -> tuple[str, str]:
    """Code and message of an error body; OpenAI, vLLM, TEI and Ollama each nest them otherwise."""
    try:
        body = json.loads(content)
    except ValueError:
        return "", ""  # an HTML page says nothing that the status does not
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error", body.get("detail", body))
    if isinstance(error, str):
        return str(body.get("error_type", "")), error
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")


# --- an error message that repeats nothing ---------------------------------------------------------

MESSAGE_LENGTH = 300
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
WORD = re.compile(r"\w+")
#: Words of error messages. Any other word that also stands in our texts may be a quotation of them.
PLAIN = frozenset(
    """
    a access account allowed an and api are array as at batch be bad billing but by bytes can cannot
    characters check code context could current data decrease detail dimension dimensions does embed
    embedding embeddings empty error exceeded exceeds exist expected failed field for format found
    from got greater has have however in incorrect input inputs instead internal into invalid is it
    its item items key large later least length less limit list long longer match max maximum
    maximal may message min minimum missing model more must no not number object of on one only or
    organization out over overloaded parameter per plan please prompt provided quota rate reached
    reduce request requested requests required requires retry server service shape short should size
    smaller string such support supported than that the their there this to token tokens too try
    type unauthorized unknown unsupported use using valid value values version was were which with
    you your
    """.split()  # noqa: SIM905
)


def without_echo(message: str, hidden: Sequence[str]) -> str:
    """A provider's message, shortened, with each word masked that stands in ``hidden`` and is no plain one.

    Providers quote what they refuse ("invalid input: …"); our texts must not reach logs that way.
    """
    shown = ESCAPE.sub(lambda match: chr(int(match[1], 16)), message[:MESSAGE_LENGTH])
    texts = "\n".join(hidden).casefold()

    def mask(match: re.Match[str]) -> str:
        word = match[0].casefold()
        harmless = word in PLAIN or (len(word) == 1 and word.isalpha()) or word not in texts
        return match[0] if harmless else "…"

    return " ".join(WORD.sub(mask, shown).split())
