"""A service that notices are posted to, on this machine: it records, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Receiver", "certificate", "running"]


@dataclass
class Receiver:
    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 204
    answers: dict[str, str] = field(default_factory=dict)
    """Headers of every answer."""
    body: bytes = b""
    plan: list[int] = field(default_factory=list)
    """Statuses of the next requests, before ``status`` again."""
    waits: threading.Event = field(default_factory=threading.Event)
    hang: bool = False
    dribble: bool = False

    @property
    def told(self) -> list[dict[str, Any]]:
        """Bodies of all requests, as JSON."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def subjects(self) -> list[str]:
        return [one["subject"] for one in self.told]

    def count(self, at_least: int, within_s: float = 20.0) -> int:
        end = time.monotonic() + within_s
        while len(self.requests) < at_least and time.monotonic() < end:
            time.sleep(0.01)
        return len(self.requests)


@contextmanager
def running(tls: Path | None = None) -> Iterator[Receiver]:
    """A receiver on a free port; ``tls`` is a file with key and certificate."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if receiver.hang:
                receiver.waits.wait(30)
                self.close_connection = True
                return
            if receiver.dribble:
                self._dribble()
                return
            self.send_response(receiver.plan.pop(0) if receiver.plan else receiver.status)
            for name, value in receiver.answers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def _dribble(self) -> None:
            self.close_connection = True
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not receiver.waits.wait(0.05):
                    self.wfile.write(b"a")
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.waits.set()
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path) -> Path:
    """A certificate for this machine that nobody has signed, with its key in the same file."""
    target = folder / "both.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    target.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return target
