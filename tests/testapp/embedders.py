"""Embedders that count, wait and fail as a test says. Their vectors are those of ``Hashing``: one space."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lockstep.search.embedders.base import Deadline
from lockstep.search.embedders.hashing import Hashing
from lockstep.search.exceptions import EmbedderError, EmbedderRefused, EmbedderUnavailable

__all__ = ["Counting", "calls_in"]


class Counting(Hashing):
    """Remembers every call, in this process and, for others to read, in a file.

    Args:
        log: file that gets a line a call.
        delay_s: seconds that a call takes; 0 answers at once.
        delay_text: only calls with this in a text take that long.
        poison: a text with this word is refused.
    """

    def __init__(
        self,
        *,
        log: str = "",
        delay_s: float = 0,
        delay_text: str = "",
        poison: str = "poison",
        remote: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.calls: list[list[str]] = []
        self.timeouts: list[float] = []
        self.log = log
        self.delay_s = delay_s
        self.delay_text = delay_text
        self.poison = poison
        self.remote = remote
        self.down: EmbedderError | None = None

    def embed_documents(self, texts: Sequence[str], *, timeout_s: float | None = None) -> Any:
        self.timeouts.append(timeout_s or 0)
        return super().embed_documents(texts, timeout_s=timeout_s)

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> list[list[float]]:
        self.calls.append(list(texts))
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(json.dumps({"pid": os.getpid(), "texts": list(texts)}) + "\n")
        if self.down:
            raise self.down
        if any(self.poison in text for text in texts):
            raise EmbedderRefused("This text is refused.", status=400)
        if any(self.delay_text in text for text in texts):
            end = time.monotonic() + self.delay_s
            while time.monotonic() < end:
                deadline.check()
                time.sleep(min(0.01, self.delay_s))
        return super()._embed(texts, deadline)

    @property
    def texts(self) -> list[str]:
        """Every text that was paid for, in order."""
        return [text for call in self.calls for text in call]

    def forget(self) -> None:
        self.calls.clear()
        self.timeouts.clear()

    @contextmanager
    def out_of_order(self, error: EmbedderError | None = None) -> Iterator[None]:
        """Every call fails."""
        self.down = error or EmbedderUnavailable("Nobody at home.")
        try:
            yield
        finally:
            self.down = None


def calls_in(log: Path) -> list[dict[str, Any]]:
    """What several processes wrote into their common log."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
