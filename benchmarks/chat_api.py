"""A local server that speaks ``POST /v1/chat/completions`` and does nothing else: the same answer at once.

Run as ``python -m benchmarks.chat_api``: prints its port, serves until its standard input closes. A process of its
own, so that its work is not counted as the client's.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
ANSWER = "Hold the blue button for ten seconds, until the ring of light turns green. Then pair it again."
USAGE = {
    "prompt_tokens": 460, "completion_tokens": 24, "total_tokens": 484,
    "prompt_tokens_details": {"cached_tokens": 128}, "completion_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip
COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "local", "usage": USAGE,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"},
    ],
}  # fmt: skip
BODY = json.dumps(COMPLETION).encode()
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)


class Connection(asyncio.Protocol):
    """Answers once for each request that has come in whole."""

    def __init__(self) -> None:
        self.pending = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while self._whole():
            self.transport.write(RESPONSE)

    def _whole(self) -> bool:
        """Take one request off, if there is one."""
        head, found, body = self.pending.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        wanted = int(length[1]) if length else 0
        if not found or len(body) < wanted:
            return False
        self.pending = body[wanted:]
        return True


@contextmanager
def serving() -> Iterator[str]:
    """Start the server in a process of its own; yields its base URL, which ends in ``/v1``."""
    command = [sys.executable, "-m", "benchmarks.chat_api"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            # the end of its input ends it, also when this process is killed
            process.stdin.close()
            process.wait(timeout=10)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
