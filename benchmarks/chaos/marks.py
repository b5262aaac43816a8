"""What processes leave behind before they are killed: a line each, in a file that all of them write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["FILE", "Mark", "Marks", "mark", "write"]

FILE = "LOCKSTEP_CHAOS_MARKS"
"""Environment variable with the path."""

_files: dict[str, int] = {}


class Mark(NamedTuple):
    at: float
    """Seconds of the monotonic clock, which all processes of a machine share."""
    pid: int
    moment: str
    run: str
    place: str
    """Node, and the item where one node has several."""
    key: str
    """Idempotency key; ``-`` where there is none."""


def mark(moment: str, run: str = "-", place: str = "-") -> None:
    """Leave a mark of this process."""
    write(os.environ[FILE], os.getpid(), moment, run, place)


def write(file: str, pid: int, moment: str, run: str, place: str, key: str = "-") -> None:
    """One write a line: nobody sees half of it, and it outlives its writer."""
    if file not in _files:
        _files[file] = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(_files[file], f"{time.monotonic()} {pid} {moment} {run} {place} {key}\n".encode())


class Marks:
    """Reads such a file from where it stopped last time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.all: list[Mark] = []
        self._offset = 0

    def new(self) -> Iterator[Mark]:
        """Those that came since the last call."""
        known = len(self.all)
        with self.file.open("rb") as file:
            file.seek(self._offset)
            found = file.read()
        whole = found[: found.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            at, pid, *rest = line.split(" ")
            self.all.append(Mark(float(at), int(pid), *rest))
        yield from self.all[known:]
