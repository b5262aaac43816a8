"""A local server that speaks ``POST /v1/embeddings`` and takes its time, as a hosted API does.

Run as ``python -m benchmarks.embedding_api --delay-ms 50``: prints its port, serves until its standard
input closes. A process of its own, so that its work does not slow the client; vectors come from a
ready-made pool by the checksum of the text, so that it has next to none.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

POOL = 512


class EmbeddingServer(ThreadingHTTPServer):
    """Answers each call after ``delay_ms``, whatever its number of texts; calls run side by side."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, delay_ms: float, dimensions: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.delay_s = delay_ms / 1000
        self.calls = self.texts = 0
        self.counting = threading.Lock()
        vectors = np.random.default_rng(1).standard_normal((POOL, dimensions))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = vectors.astype("<f4")
        self.pool = {
            "float": [json.dumps([round(float(x), 6) for x in row]) for row in rows],
            "base64": [json.dumps(base64.b64encode(row.tobytes()).decode()) for row in rows],
        }


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:  # http.server's name
        started = time.monotonic()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        pool = self.server.pool[asked.get("encoding_format") or "float"]
        vectors = (pool[zlib.crc32(text.encode()) % POOL] for text in texts)
        rows = (f'{{"object":"embedding","index":{i},"embedding":{v}}}' for i, v in enumerate(vectors))
        tokens = sum(len(text) // 4 for text in texts)
        body = (
            f'{{"object":"list","model":{json.dumps(asked["model"])},"data":[{",".join(rows)}],'
            f'"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}'
        ).encode()
        with self.server.counting:
            self.server.calls += 1
            self.server.texts += len(texts)
        time.sleep(max(0.0, self.server.delay_s - (time.monotonic() - started)))
        self._answer(body)

    def do_GET(self) -> None:
        """``/stats``: how many calls and texts so far."""
        with self.server.counting:
            self._answer(json.dumps({"calls": self.server.calls, "texts": self.server.texts}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet: a line a call would be the slowest part."""


@contextmanager
def serving(*, delay_ms: float = 50, dimensions: int = 384) -> Iterator[str]:
    """Start the server in a process of its own; yields its base URL, which ends in ``/v1``."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.embedding_api",
        f"--delay-ms={delay_ms}",
        f"--dimensions={dimensions}",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            # the end of its input ends it, also when this process is killed
            process.stdin.close()
            process.wait(timeout=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=50)
    parser.add_argument("--dimensions", type=int, default=384)
    options = parser.parse_args()
    server = EmbeddingServer(delay_ms=options.delay_ms, dimensions=options.dimensions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
