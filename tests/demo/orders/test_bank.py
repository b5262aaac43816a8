"""The bank of the demo, from outside: it is asked over HTTP, and killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

from lockstep.core.notify import signatures
from tools.backstage import Kept, bank_command, environment_for, wait_for

pytestmark = pytest.mark.slow

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODk="


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Kept]]]:
    """Starts a bank; all of a test have one book."""
    with ExitStack() as stack:

        def started(notify: str = "http://127.0.0.1:1/") -> tuple[str, Kept]:
            environment = environment_for("", "", tmp_path) | {"BANK_NOTIFY": notify, "BANK_SECRET": SECRET}
            bank = Kept("bank", bank_command(tmp_path, environment), tmp_path / "log", environment)
            stack.callback(bank.end)
            wait_for(environment["BANK_URL"], bank)
            return environment["BANK_URL"], bank

        yield started


def ask(url: str, key: str = "k", **payment: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return httpx.post(
        f"{url}payments", json={"order": "LS-1", "pence": 100} | payment, headers=headers, timeout=30
    )


def book(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}book.json").json())


def test_a_key_is_booked_once_by_however_many_banks_it_is_asked_of(start: Any) -> None:
    one, other = start()[0], start()[0]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [one, other] * 8))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["payment"] for answer in answers}) == 1
    assert [(row["order"], row["asked"]) for row in book(one)] == [("LS-1", 16)]


def test_a_killed_bank_comes_back_and_knows_what_it_booked(start: Any) -> None:
    url, bank = start()
    payment = ask(url).json()
    killed = bank.pid
    os.kill(killed, signal.SIGKILL)
    while bank.pid == killed:
        pass
    wait_for(url, bank)
    assert ask(url).json() == payment
    assert len(book(url)) == 1


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (422, {"pence": 200}),
        (422, {"order": "LS-2"}),
        (400, {"key": ""}),
        (400, {"pence": 0}),
        (400, {"pence": "x"}),
    ],
)
def test_what_is_no_payment_is_refused(start: Any, status: int, asked: dict[str, Any]) -> None:
    url, _ = start()
    ask(url)
    assert ask(url, **asked).status_code == status
    assert [row["pence"] for row in book(url)] == [100]


def test_the_shop_is_told_until_it_hears_with_a_signature(start: Any) -> None:
    heard: Queue[tuple[bytes, dict[str, str]]] = Queue()
    answers = iter([500, 202])

    class Shop(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put((self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers)))
            self.send_response(next(answers))
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url, _ = start(f"http://127.0.0.1:{server.server_port}/")
        payment = ask(url).json()["payment"]
        for _ in range(2):
            assert signatures.verify(*heard.get(timeout=20), SECRET) == payment
    finally:
        server.shutdown()
        server.server_close()


def test_the_page_says_when_something_was_paid_twice(start: Any) -> None:
    url, _ = start()
    ask(url, "a", order="<b>")
    assert "No order was paid twice" in httpx.get(url).text
    ask(url, "b", order="<b>")
    assert "Paid twice: &lt;b&gt;!" in httpx.get(url).text
