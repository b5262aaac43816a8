"""A server of the shape of OpenAI's and Anthropic's, on a real socket, that answers well or fails as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ChatServer", "Handler", "running"]

Fault = Callable[["Handler"], None]
USAGE = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip
ANTHROPIC_USAGE = {
    "input_tokens": 60, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 10, "output_tokens": 20,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One connection. Takes the next fault of the server's script, or answers well."""

    protocol_version = "HTTP/1.1"
    server: ChatServer
    body: dict[str, Any]

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        self.body = json.loads(raw)
        self.server.seen.append((self.path, dict(self.headers), self.body))
        fault = self.server.next_fault()
        if fault:
            fault(self)
        elif self.path.endswith("/messages"):
            self.anthropic()
        elif self.body.get("stream"):
            self.stream()
        else:
            self.answer(self.completion())

    def words(self) -> str:
        return self.server.reply

    def message(self) -> dict[str, Any]:
        tools = self.body.get("tools")
        asked = json.dumps(self.body["messages"])
        if tools and '"tool"' not in asked:
            name = tools[0]["function"]["name"]
            call = {
                "id": "call_1",
                "type": "function",
                "function": {"name": name, "arguments": self.server.arguments},
            }
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        if self.body.get("response_format"):
            return {"role": "assistant", "content": self.server.arguments}
        return {"role": "assistant", "content": self.words()}

    def completion(self) -> dict[str, Any]:
        message = self.message()
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        return {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "served-model", "choices": choices,
            **({"usage": USAGE} if self.server.counts else {}),
        }  # fmt: skip

    def stream(self, *, cut_after: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        message = self.message()
        if message.get("tool_calls"):
            pieces: list[dict[str, Any]] = [{"tool_calls": [{"index": 0, **message["tool_calls"][0]}]}]
        else:
            pieces = [{"content": f"{word} "} for word in self.words().split()]
        for number, delta in enumerate(pieces):
            if cut_after is not None and number >= cut_after:
                self.close_connection = True
                return
            self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            time.sleep(self.server.between_s)
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if self.server.counts and (self.body.get("stream_options") or {}).get("include_usage"):
            self.event({"choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, facts: dict[str, Any]) -> None:
        whole = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "served-model",
            **facts,
        }
        self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())
        self.wfile.flush()

    def anthropic(self) -> None:
        content = [{"type": "text", "text": self.words()}]
        base = {"id": "m1", "type": "message", "role": "assistant", "model": "served-message"}
        if not self.body.get("stream"):
            self.answer({**base, "content": content, "stop_reason": "end_turn", "usage": ANTHROPIC_USAGE})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        begun = {**base, "content": [], "usage": ANTHROPIC_USAGE | {"output_tokens": 1}}
        events = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"{word} "}}
              for word in self.words().split()),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ANTHROPIC_USAGE},
            {"type": "message_stop"},
        ]  # fmt: skip
        for event in events:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(sent)),
            "Content-Type": "application/json",
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.script: list[Fault | None] = []
        self.reply = "Press the blue button."
        self.arguments = '{"order": 7}'
        self.counts = True
        self.between_s = 0.0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.script.pop(0) if self.script else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def running() -> Iterator[ChatServer]:
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
