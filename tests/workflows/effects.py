"""A server in a process of its own that counts what it is asked for and what it does, in a file of its own.

``POST /?op=pay`` with an ``Idempotency-Key`` does a thing once for each key; without one it does it each time. The
query says how it misbehaves: ``status=429&times=2&retry_after=1`` answers so to the first two requests of that ``op``,
having done nothing (or having done it, with ``after=1``); ``hang=3`` does it and answers after three seconds;
``drop=1`` does it and closes the connection.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.processes import start
from tests.search.workers import until

__all__ = ["Effects", "effects", "request", "serve"]


class Effects:
    """What the server's file says."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "effects.txt"
        self.place = folder / "port"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.read_text()}"

    def _lines(self, kind: str) -> list[list[str]]:
        text = self.file.read_text() if self.file.exists() else ""
        return [line.split(" ")[1:] for line in text.split("\n")[:-1] if line.startswith(kind)]

    def requests(self, op: str) -> int:
        return sum(line[0] == op for line in self._lines("request"))

    def keys(self, op: str) -> set[str]:
        return {line[1] for line in self._lines("request") if line[0] == op}

    def times(self, op: str) -> list[float]:
        return [float(line[2]) for line in self._lines("request") if line[0] == op]

    def done(self, op: str) -> int:
        return sum(line[0] == op for line in self._lines("effect"))


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Effects]:
    folder = tmp_path / "effects"
    folder.mkdir()
    found = Effects(folder)
    server = start(serve, str(found.file), str(found.place))
    try:
        until(found.place.exists)
        monkeypatch.setenv("FLOWS_EFFECTS", found.url)
        yield found
    finally:
        server.kill()
        server.join()


def request(op: str, key: str = "", *, timeout_s: float = 20, **how: Any) -> Any:
    """Ask it for something; what an HTTP client raises, this raises."""
    url = f"{os.environ['FLOWS_EFFECTS']}/?{urlencode({'op': op, **how})}"
    headers = {"Idempotency-Key": key} if key else {}
    asked = urllib.request.Request(url, data=b"{}", headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise


def serve(file: str, place: str) -> None:
    lock = threading.Lock()
    seen: Counter[str] = Counter()
    known: dict[str, int] = {}

    def note(*words: Any) -> None:
        with Path(file).open("a") as log:
            log.write(" ".join(map(str, words)) + "\n")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            op, key = asked["op"], self.headers.get("Idempotency-Key", "")
            with lock:
                note("request", op, key or "-", time.time())
                seen[op] += 1
                failing = "status" in asked and seen[op] <= int(asked.get("times", 10**6))
                if (not failing or "after" in asked) and (not key or key not in known):
                    known[key] = seen[op]
                    note("effect", op, key or "-")
            if "hang" in asked:
                time.sleep(float(asked["hang"]))
            if "drop" in asked:
                self.connection.close()
                return
            self.answer(
                int(asked["status"]) if failing else 200, {"n": known.get(key)}, asked.get("retry_after")
            )

        def answer(self, status: int, body: Any, retry_after: str | None) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            if status != 200 and retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Path(f"{place}.part").write_text(str(server.server_address[1]))
    Path(f"{place}.part").rename(place)
    server.serve_forever()
