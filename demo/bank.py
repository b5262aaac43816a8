"""A bank for the demo: a process of its own with a book of its own, and nothing of Django or lockstep in it.

``POST /payments`` with an ``Idempotency-Key`` books the payment once, however often it is asked, and answers 202. A
moment later the money has gone, and the bank tells the shop by a webhook that is signed as
https://www.standardwebhooks.com says. ``GET /`` shows the book to people, ``GET /book.json`` to programs.

    BANK_NOTIFY=http://… BANK_SECRET=whsec_… python -m demo.bank --book FILE [--port N]
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hmac
import json
import os
import secrets
import threading
import time
from collections import Counter
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO
from urllib.request import Request, urlopen

SETTLES_S = 1.5
"""So long the money is under way."""
SLOW_S = float(os.environ.get("BANK_SLOW_S") or 8)
"""So long the bank thinks about a payment for which it is asked to take its time. It has booked it by then."""
LONGEST = 10_000
"""Bytes that are read of what somebody asks."""
TELLINGS = 60
"""How often the shop is told of a payment until it says that it has heard, one second apart."""


class KeyReused(Exception):
    """The same Idempotency-Key came with another payment."""


class Book:
    """What was booked and asked for: a file with a line of JSON for each, which several banks may share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def book(self, key: str, order: str, pence: int) -> tuple[dict[str, Any], bool]:
        """The payment of this key, and whether it is a new one. It is on the disk before anybody hears of it.

        Raises:
            KeyReused: the key stands for another payment.
        """
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = next((line for line in map(json.loads, file) if line["key"] == key), None)
            if known and (known["order"], known["pence"]) != (order, pence):
                raise KeyReused
            name = f"P-{secrets.token_hex(4).upper()}"
            payment = known or {"key": key, "payment": name, "order": order, "pence": pence}
            self._append(file, {"key": key, "asked": True} if known else payment)
        return payment, known is None

    def settled(self, key: str) -> None:
        """The shop has heard that the money has gone."""
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._append(file, {"key": key, "settled": True})

    def payments(self) -> list[dict[str, Any]]:
        """All of them, the latest first, with how often each was asked for and whether the shop has heard of it."""
        found: dict[str, dict[str, Any]] = {}
        for line in map(json.loads, self._path.read_text().splitlines()):
            payment = found.setdefault(line["key"], line | {"asked": 1, "settled": False})
            payment["asked"] += "asked" in line
            payment["settled"] |= "settled" in line
        return list(reversed(found.values()))

    def _append(self, file: TextIO, line: dict[str, Any]) -> None:
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def tell(book: Book, payment: dict[str, Any]) -> None:
    """Say that the money has gone, until the shop has heard it."""
    said = {name: payment[name] for name in ("payment", "order", "pence")}
    body = json.dumps({"type": "payment.settled", "data": said})
    time.sleep(SETTLES_S)
    for _ in range(TELLINGS):
        if is_heard(Request(os.environ["BANK_NOTIFY"], body.encode(), signed(payment["payment"], body))):  # noqa: S310
            book.settled(payment["key"])
            break
        time.sleep(1)


def is_heard(request: Request) -> bool:
    try:
        with urlopen(request, timeout=10):  # noqa: S310 -- the shop's own address
            return True
    except OSError as error:
        print(f"The shop does not hear us: {error}", flush=True)
        return False


def signed(message: str, body: str) -> dict[str, str]:
    """Headers by which the shop knows that it is us."""
    at = str(int(time.time()))
    key = base64.b64decode(os.environ["BANK_SECRET"].removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{message}.{at}.{body}".encode(), "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{signature}",
    }


class Desk(BaseHTTPRequestHandler):
    """Where customers of the bank stand."""

    book: Book

    def do_POST(self) -> None:
        status, said = self._paid()
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has died meanwhile
            self._say(status, said)

    def do_GET(self) -> None:
        if self.path == "/book.json":
            self._say(200, self.book.payments())
        else:
            self._send(200, "text/html; charset=utf-8", page(self.book.payments()))

    def _paid(self) -> tuple[int, dict[str, str]]:
        """Status and answer to whoever asks for a payment."""
        key, length = self.headers.get("Idempotency-Key", ""), self.headers.get("Content-Length", "")
        try:
            asked = json.loads(self.rfile.read(min(int(length), LONGEST) if length.isdecimal() else 0))
            order, pence = str(asked["order"]), int(asked["pence"])
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "A payment has an order and pence."}
        if self.path != "/payments" or not key or pence < 1:
            return 400, {"error": "POST /payments with an Idempotency-Key and some pence."}
        try:
            payment, is_new = self.book.book(key, order, pence)
        except KeyReused:
            return 422, {"error": "This key stands for another payment."}
        if is_new:
            threading.Thread(target=tell, args=(self.book, payment), daemon=True).start()
            time.sleep(SLOW_S if asked.get("slowly") else 0)
        return 202, {"payment": payment["payment"]}

    def _say(self, status: int, said: Any) -> None:
        self._send(status, "application/json", json.dumps(said))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not a line for each request."""


PAGE = """<!doctype html>
<html lang="en-GB">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="2">
<title>The bank's book</title>
<style>
:root {{ color-scheme: light dark }}
body {{ background: Canvas; color: CanvasText; font: 1rem/1.5 system-ui, sans-serif }}
body {{ margin: 2rem auto; padding: 0 1rem; max-width: 60rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid #8886; overflow-wrap: anywhere }}
</style>
<h1>The bank's book</h1>
<p>{sum}</p>
<table>
<thead><tr><th>Payment<th>Order<th>Paid<th>Key<th>Asked<th>Settled</thead>
<tbody>{rows}</tbody>
</table>
</html>"""


def page(rows: list[dict[str, Any]]) -> str:
    """The book for people."""
    orders = Counter(row["order"] for row in rows)
    twice = [order for order, times in orders.items() if times > 1]
    told = f"Paid twice: {', '.join(twice)}!" if twice else "No order was paid twice."
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in (
            row["payment"], row["order"], f"£{row['pence'] / 100:,.2f}", f"{row['key'][:12]}…",
            f"{row['asked']} times" if row["asked"] != 1 else "once", "yes" if row["settled"] else "under way",
        ))
        for row in rows
    )  # fmt: skip
    return PAGE.format(sum=escape(f"Payments: {len(rows)}. {told}"), rows=cells)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.bank")
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    Desk.book = Book(options.book)
    for payment in [one for one in Desk.book.payments() if not one["settled"]]:
        threading.Thread(target=tell, args=(Desk.book, payment), daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Desk)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
