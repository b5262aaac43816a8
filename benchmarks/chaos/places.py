"""The processes around a chaos: the world outside, a Redis, and workers that are replaced when they are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import project
from benchmarks.chaos import graphs, marks
from benchmarks.chaos.marks import Mark, Marks
from benchmarks.exceptions import BenchmarkError
from tools.services.exceptions import ServiceError
from tools.services.redis import private_redis

__all__ = ["Workers", "outside", "redis", "until", "workers"]

TREES = 3
"""Workers that are ready at any time but just after one of them was killed."""


@contextmanager
def redis() -> Iterator[None]:
    """Doorbells of this process and of its workers go over it."""
    try:
        with private_redis() as socket:
            os.environ["REDIS_URL"] = f"redis+socket://{socket}"
            from benchmarks.chaos.workers import app

            app.conf.broker_url = os.environ["REDIS_URL"]
            app.set_current()
            yield
    except ServiceError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        os.environ.pop("REDIS_URL", None)


@contextmanager
def outside(folder: Path) -> Iterator[Marks]:
    """The world outside, and its book."""
    book, port = folder / "book", folder / "port"
    command = [sys.executable, "-m", "benchmarks.chaos.outside", str(book), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        try:
            until(lambda: port.exists() or server.poll() is not None, "the server of effects")
            os.environ[graphs.URL] = f"http://127.0.0.1:{port.read_text()}"
            yield Marks(book)
        finally:
            server.terminate()


class Workers:
    """Trees of processes; ``ready`` has the leaders of those that take work: process id -> name."""

    def __init__(self, stdin: Any, folder: Path) -> None:
        self.stdin = stdin
        self.folder = folder
        self.marks = Marks(folder / "marks")
        self.ready: dict[int, str] = {}
        self._names = 0

    def start(self) -> None:
        self._names += 1
        self.stdin.write(f"w{self._names}\n")
        self.stdin.flush()

    def saw(self, mark: Mark) -> None:
        if mark.moment == "ready":
            self.ready[mark.pid] = mark.place

    def kill_tree(self, pid: int) -> list[int]:
        """Kill the worker that this process belongs to; the processes that are gone."""
        leader = os.getpgid(pid)
        gone = members(leader)
        os.killpg(leader, signal.SIGKILL)
        del self.ready[leader]
        return gone


@contextmanager
def workers(folder: Path, lease_s: float | None) -> Iterator[Workers]:
    """Workers that are ready to work, until the block ends."""
    folder.mkdir()
    (folder / "marks").touch()
    own = {
        marks.FILE: str(folder / "marks"),
        project.WORKFLOWS: json.dumps({"lease_s": lease_s} if lease_s else {}),
    }
    command = [sys.executable, "-m", "benchmarks.chaos.workers", str(folder)]
    with subprocess.Popen(
        command, env={**os.environ, **own}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        try:
            if not zygote.stdout.readline():
                raise BenchmarkError("the workers do not start; their message is above")
            found = Workers(zygote.stdin, folder)
            for _ in range(TREES):
                found.start()

            def ready() -> bool:
                for mark in found.marks.new():
                    found.saw(mark)
                return len(found.ready) == TREES

            until(ready, f"workers; see {folder}")
            yield found
        finally:
            with suppress(BrokenPipeError):
                zygote.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                zygote.wait(timeout=10)
            zygote.kill()


def members(leader: int) -> list[int]:
    """Processes of the group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def until(reached: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > end:
            raise BenchmarkError(f"nothing came of {what} within {timeout_s:g} s")
        time.sleep(0.02)
