"""``python -m benchmarks.chaos.outside BOOK PORT``: the world outside, which counts for itself.

A request with an ``Idempotency-Key`` that is in the book is answered from it; any other is carried out and booked. The
book is a file of its own: a line when something is asked, booked and answered. Ends when standard input closes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.chaos.marks import write

__all__ = ["receipt"]

TAKES_S = 0.04
"""Before a thing is done, and after it."""


def receipt(place: str) -> int:
    """What is answered: the same in every run, so that their states can be compared."""
    return zlib.crc32(place.encode())


def serve(book: str, port: str) -> None:
    lock = threading.Lock()
    known: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            told = int(asked["pid"]), asked["run"], asked["place"], self.headers.get("Idempotency-Key", "-")
            note("asked", *told)
            time.sleep(TAKES_S)
            with lock:
                if told[3] not in known:
                    note("booked", *told)
                if told[3] != "-":
                    known.add(told[3])
            time.sleep(TAKES_S)
            text = json.dumps({"receipt": receipt(asked["place"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            note("answered", *told)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Who asked was killed."""

    def note(moment: str, pid: int, run: str, place: str, key: str) -> None:
        write(book, pid, moment, run, place, key)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Path(book).touch()
    part = Path(f"{port}.part")
    part.write_text(str(server.server_address[1]))
    part.rename(port)
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
