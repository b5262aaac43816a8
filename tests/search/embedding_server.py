"""A server of the OpenAI shape on a real socket, that answers well or fails as told."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lockstep.search.embedders.hashing import Hashing

__all__ = ["DIMENSIONS", "EmbeddingServer", "running"]

DIMENSIONS = 16
HASHING = Hashing(dimensions=DIMENSIONS)

#: What one request is answered with: does the whole work of the response.
Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One connection. Takes the next fault of the server's script, or answers well."""

    protocol_version = "HTTP/1.1"
    server: EmbeddingServer
    body: dict[str, Any]

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), self.body))
        fault = self.server.next_fault()
        if fault:
            fault(self)
        else:
            self.answer(self.embeddings())

    def embeddings(self) -> dict[str, Any]:
        vectors = HASHING.embed_documents(self.body["input"])
        shown = (as_base64 if self.body.get("encoding_format") == "base64" else list)(vectors)
        data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(shown)]
        tokens = sum(HASHING.count_tokens(text) for text in self.body["input"])
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": "served-model", "usage": usage}

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        sent = content if isinstance(content, bytes) else json.dumps(content, default=list).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(sent)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


class EmbeddingServer(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers and body of each request, in order."""
        self.script: list[Fault] = []
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.seen]

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.script.pop(0) if self.script else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that give up are part of the tests


@contextmanager
def running() -> Iterator[EmbeddingServer]:
    server = EmbeddingServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_base64(vectors: list[array[float]]) -> list[str]:
    return [base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() for row in vectors]


# --- faults ----------------------------------------------------------------------------------------


def status(code: int, content: Any = None, **headers: str) -> Fault:
    return lambda handler: handler.answer(
        {"error": {"message": "as told", "type": "told"}} if content is None else content, code, **headers
    )


def changed(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """The right answer, changed in place."""

    def fault(handler: Handler) -> None:
        answer = json.loads(json.dumps(handler.embeddings(), default=list))
        change(answer)
        handler.answer(answer)

    return fault


def slow(seconds: float) -> Fault:
    def fault(handler: Handler) -> None:
        time.sleep(seconds)
        handler.answer(handler.embeddings())

    return fault


def trickle(handler: Handler) -> None:
    """A byte every 20 ms: no wait is long, the whole would be."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


def cut_short(handler: Handler) -> None:
    """Promises more bytes than it sends."""
    content = json.dumps(handler.embeddings(), default=list).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Answers nothing and resets the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
