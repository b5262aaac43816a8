"""What an error of any client says about trying again."""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import time
import urllib.error
from collections.abc import Callable
from email.message import Message
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import requests
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from lockstep.workflows.tools.failures import LONGEST_S, Kind, classify, failure_of
from tests.processes import start
from tests.search.workers import until
from tests.workflows.effects import serve


def of_httpx(status: int, **headers: str) -> Exception:
    request = httpx.Request("POST", "http://example.com")
    answer = httpx.Response(status, headers=headers, request=request)
    return httpx.HTTPStatusError("no", request=request, response=answer)


def of_requests(status: int, **headers: str) -> Exception:
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update(headers)
    return requests.HTTPError("no", response=answer)


def of_urllib(status: int, **headers: str) -> Exception:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return urllib.error.HTTPError("http://example.com", status, "no", message, io.BytesIO())


def of_an_sdk(status: int, **headers: str) -> Exception:
    error = RuntimeError("no")
    error.status_code = status  # type: ignore[attr-defined]
    error.headers = headers  # type: ignore[attr-defined]
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CLIENTS = [of_httpx, of_requests, of_urllib, of_an_sdk]
Client = Callable[..., Exception]


@pytest.mark.parametrize("client", CLIENTS)
@given(status=st.integers(300, 599))
def test_a_status_says_whether_the_server_did_anything(client: Client, status: int) -> None:
    found = classify(client(status))
    assert found.status == status
    refused = status in (408, 425, 429)
    assert found.kind == ("transient" if refused or status >= 500 else "permanent")
    assert failure_of(client(status), "at_most_once").kind == (
        "transient" if refused else "unknown" if status >= 500 else "permanent"
    )


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("3", 3),
        ("0", 0),
        ("-5", 0),
        ("1.5", 1.5),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("1e99", LONGEST_S),
    ],
)
def test_retry_after_is_read(client: Client, told: str, seconds: float | None) -> None:
    assert classify(client(429, **{"Retry-After": told})).retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    later = formatdate(time.time() + 60, usegmt=True)
    found = classify(of_httpx(503, **{"retry-after": later})).retry_after_s
    assert found is not None
    assert 55 < found <= 61
    past = formatdate(time.time() - 60, usegmt=True)
    assert classify(of_httpx(503, **{"retry-after": past})).retry_after_s == 0


@given(st.text(max_size=50))
def test_no_header_breaks_the_classifier(told: str) -> None:
    found = classify(of_an_sdk(429, **{"Retry-After": told})).retry_after_s
    assert found is None or 0 <= found <= LONGEST_S


UNSENT, SENT, NEVER = "transient unsent", "transient sent", "permanent sent"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), SENT), (ConnectionResetError(), SENT), (BrokenPipeError(), SENT),
        (ConnectionRefusedError(), UNSENT), (socket.gaierror(-2, "no such host"), UNSENT),
        (OSError(errno.EHOSTUNREACH, "no"), UNSENT), (OSError(errno.ENOSPC, "full"), NEVER),
        (FileNotFoundError(), NEVER), (PermissionError(), NEVER),
        (http.client.RemoteDisconnected(), SENT), (http.client.IncompleteRead(b""), SENT),
        (ssl.SSLEOFError(), SENT), (ssl.SSLCertVerificationError(), NEVER),
        (urllib.error.URLError(ConnectionRefusedError()), UNSENT), (urllib.error.URLError(TimeoutError()), SENT),
        (urllib.error.URLError(ssl.SSLCertVerificationError()), NEVER), (urllib.error.URLError("unknown type"), NEVER),
        (httpx.ConnectError(""), UNSENT), (httpx.ConnectTimeout(""), UNSENT), (httpx.PoolTimeout(""), UNSENT),
        (httpx.ReadTimeout(""), SENT), (httpx.WriteError(""), SENT), (httpx.RemoteProtocolError(""), SENT),
        (httpx.LocalProtocolError(""), NEVER), (httpx.UnsupportedProtocol(""), NEVER), (httpx.InvalidURL(""), NEVER),
        (caused(httpx.ConnectError(""), ssl.SSLCertVerificationError()), NEVER), (httpx.DecodingError(""), NEVER),
        (requests.ConnectTimeout(), UNSENT), (requests.ReadTimeout(), SENT), (requests.ConnectionError(), SENT),
        (requests.exceptions.ChunkedEncodingError(), SENT), (requests.exceptions.MissingSchema(), NEVER),
        (ValueError(), NEVER), (TypeError(), NEVER), (KeyError(), NEVER), (ValidationError("no"), NEVER),
        (caused(ValueError(), TimeoutError()), NEVER), (caused(RuntimeError(), httpx.ReadTimeout("")), SENT),
        (caused(RuntimeError(), ConnectionRefusedError()), UNSENT), (RuntimeError("timeout"), NEVER),
    ],
)  # fmt: skip
def test_errors_without_a_status(error: Exception, expected: str) -> None:
    found = classify(error)
    assert f"{found.kind} {'sent' if found.sent else 'unsent'}" == expected
    once = failure_of(error, "at_most_once").kind
    assert once == ("unknown" if expected == SENT else found.kind)
    assert failure_of(error, "keyed").kind == found.kind


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(500)])
def test_what_ends_the_process_is_no_failure_of_the_tool(error: BaseException) -> None:
    assert classify(error).kind is Kind.CANCELLED
    assert failure_of(error, "keyed", lambda error: "transient").kind is Kind.CANCELLED


def test_an_opinion_of_ones_own_comes_first() -> None:
    assert failure_of(ValueError(), "keyed", lambda error: Kind.TRANSIENT).kind is Kind.TRANSIENT
    assert failure_of(TimeoutError(), "at_most_once", lambda error: "transient").kind is Kind.TRANSIENT
    assert failure_of(ValueError(), "at_most_once", lambda error: "unknown").kind is Kind.UNKNOWN
    assert failure_of(ValueError(), "keyed", lambda error: "unknown").kind is Kind.TRANSIENT
    assert failure_of(TimeoutError(), "keyed", lambda error: None).kind is Kind.TRANSIENT
    with pytest.raises(ValueError, match="later"):
        failure_of(TimeoutError(), "keyed", lambda error: "later")


def test_a_circle_of_causes_ends() -> None:
    one, other = RuntimeError(), RuntimeError()
    one.__cause__, other.__cause__ = other, one
    assert classify(one).kind is Kind.PERMANENT


def _by_httpx(url: str) -> Any:
    return httpx.post(url, content=b"{}", timeout=0.5).raise_for_status()


def _by_requests(url: str) -> Any:
    answer = requests.post(url, data=b"{}", timeout=0.5)
    answer.raise_for_status()


@pytest.mark.parametrize("client", [_by_httpx, _by_requests])
def test_real_clients_on_real_sockets(client: Callable[[str], Any], tmp_path: Any) -> None:
    place = tmp_path / "port"
    server = start(serve, str(tmp_path / "log"), str(place))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}/?op=a"
    try:
        until(place.exists)
        url = f"http://127.0.0.1:{place.read_text()}/?op=a"
        for address, kind, sent in (
            (f"{url}&hang=2", "transient", True), (f"{url}&drop=1", "transient", True), (nobody, "transient", False),
            (f"{url}&status=503", "transient", True), (f"{url}&status=404", "permanent", False),
            (f"{url}&status=429&retry_after=7", "transient", False), ("http://nowhere.invalid/", "transient", False),
        ):  # fmt: skip
            with pytest.raises(Exception) as caught:  # noqa: PT011 -- of many classes
                client(address)
            found = classify(caught.value)
            assert (found.kind, found.sent) == (kind, sent), address
            assert found.retry_after_s == (7 if "429" in address else None)
    finally:
        server.kill()
        server.join()
