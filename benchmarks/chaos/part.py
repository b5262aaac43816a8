"""One part of the chaos: runs go on all the while, blows fall, and who takes over is watched."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.chaos.graphs import EFFECTS
from benchmarks.chaos.marks import Mark, Marks
from benchmarks.chaos.outside import receipt
from benchmarks.chaos.places import TREES, Workers
from benchmarks.chaos.plan import Blow
from benchmarks.database import scratch_url
from benchmarks.exceptions import BenchmarkError

__all__ = ["Hit", "Part"]

IN_FLIGHT = 3
"""Runs at a time: fewer than processes, so that whoever is to follow has a free one."""
MOST_HITS = 4
"""Of one run, so that nobody takes it for a poisonous one."""
MOST_OPEN = 2
"""Runs that wait for another owner at a time."""
TICK_S, LOOK_S = 0.006, 0.05
SECOND_LOOK_S = 0.05
"""Statements that were under way when their process died are over by then."""
ASLEEP_S = 0.5
"""So much longer than its run has another owner a hung process hangs."""
QUIET_S = 0.4
"""So long after a stop everything that was on its way to the world outside has come there."""
ENDED_WITHIN_S = 60
"""Runs without any sign of going on for so long are lost."""

OWNED = (
    "SELECT id::text, epoch FROM lockstep_workflows_run WHERE status = 'running'"
    " AND split_part(owner, ':', 2) = ANY(%s)"
)
WATCHED = "SELECT id::text, epoch, status FROM lockstep_workflows_run WHERE id = ANY(%s::uuid[])"


@dataclass(slots=True)
class Hit:
    """What one blow did."""

    kind: str
    at: float
    pid: int
    run: str
    phase: str = ""
    owned: dict[str, int] = field(default_factory=dict)
    """Run -> its epoch, of those that the processes were at."""
    takeovers_s: list[float] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    looked: bool = False
    followed_at: float | None = None
    resumed_at: float | None = None
    pids: list[int] = field(default_factory=list)


class Part:
    """Plays the blows, in their order."""

    def __init__(self, workers: Workers, book: Marks, blows: Sequence[Blow]) -> None:
        self.workers = workers
        self.book = book
        self.blows = list(reversed(blows))
        self.hits: list[Hit] = []
        self.runs: dict[str, str] = {}
        """Run -> shape."""
        self.answered = Counter[str]()
        self.last: dict[int, Mark] = {}
        """Process -> what was seen of it last."""
        self._live: set[str] = set()
        self._shapes = itertools.cycle(EFFECTS)
        self._aimed: tuple[float, int, str] | None = None
        self._not_before = 0.0
        self._looked = 0.0
        self._moved = time.monotonic()

    def play(self) -> None:
        """Until all blows have fallen and all runs have come to an end."""
        with psycopg.connect(scratch_url(), autocommit=True, prepare_threshold=1) as self.link:
            while self.blows or self._live or self._open():
                self._see()
                self._strike()
                self._watch()
                if time.monotonic() - self._looked > LOOK_S:
                    self._look()
                if time.monotonic() - self._moved > ENDED_WITHIN_S:
                    if self.blows:
                        raise BenchmarkError(f"nothing moves any more; see {self.workers.folder}")
                    return
                time.sleep(TICK_S)

    def undisturbed(self, shapes: Sequence[str]) -> None:
        """One run of each, and one after the other."""
        for shape in shapes:
            self._start(shape)
            self.play()

    # what is seen

    def _see(self) -> None:
        for mark in sorted([*self.workers.marks.new(), *self.book.new()]):
            self._moved = time.monotonic()
            self.workers.saw(mark)
            known = self.last.get(mark.pid)
            if known is None or known.at <= mark.at:
                self.last[mark.pid] = mark
            if self.blows and self._aimed is None and self._fits(mark):
                self._aimed = mark.at + self.blows[-1].delay_s, mark.pid, mark.run

    def _fits(self, mark: Mark) -> bool:
        blow = self.blows[-1]
        return (
            mark.moment == blow.moment
            and mark.run in self._live
            and time.monotonic() >= self._not_before
            and time.monotonic() - mark.at < 0.02
            and sum(hit.run == mark.run for hit in self.hits) < MOST_HITS
            and len(self._open()) < MOST_OPEN
            and len(self.workers.ready) == TREES
        )

    # what is done to them

    def _strike(self) -> None:
        if self._aimed is None or time.monotonic() < self._aimed[0]:
            return
        _, pid, run = self._aimed
        self._aimed = None
        blow = self.blows[-1]
        hit = Hit(blow.kind, time.monotonic(), pid, run, pids=[pid])
        try:
            if blow.kind == "tree":
                hit.pids = self.workers.kill_tree(pid)
            else:
                os.kill(pid, signal.SIGSTOP if blow.kind == "hung" else signal.SIGKILL)
        except (ProcessLookupError, KeyError):
            return
        self.blows.pop()
        for other in self._open():
            if run in other.open:  # who was about to follow is hit: from now on the next one is waited for
                other.open.remove(run)
                hit.owned[run] = other.owned[run]
                hit.open.add(run)
        self.hits.append(hit)
        self._own(hit)
        self._not_before = time.monotonic() + blow.pause_s

    def _own(self, hit: Hit) -> None:
        rows = self.link.execute(OWNED, [[str(pid) for pid in hit.pids]]).fetchall()
        for run, epoch in rows:
            if run not in hit.owned:
                hit.owned[run] = epoch
                hit.open.add(run)

    def _open(self) -> list[Hit]:
        return [hit for hit in self.hits[-20:] if hit.open or not hit.looked or self._asleep(hit)]

    @staticmethod
    def _asleep(hit: Hit) -> bool:
        return hit.kind == "hung" and hit.resumed_at is None

    # who takes over

    def _watch(self) -> None:
        for hit in self._open():
            if not hit.looked and time.monotonic() - hit.at > SECOND_LOOK_S:
                self._own(hit)
                self._see()
                hit.phase = self._phase(hit)
                hit.looked = True
            if hit.open:
                for run, epoch, status in self.link.execute(WATCHED, [list(hit.open)]).fetchall():
                    if epoch > hit.owned[run]:
                        hit.takeovers_s.append(time.monotonic() - hit.at)
                        hit.open.remove(run)
                    elif status != "running":  # its last statement was under way
                        hit.open.remove(run)
            if not hit.open and hit.followed_at is None and hit.looked:
                hit.followed_at = time.monotonic()
                if hit.kind == "tree":
                    self.workers.start()
            if self._asleep(hit) and hit.followed_at and time.monotonic() - hit.followed_at > ASLEEP_S:
                os.kill(hit.pid, signal.SIGCONT)
                hit.resumed_at = time.monotonic()

    def _phase(self, hit: Hit) -> str:
        found = self.last.get(hit.pid)
        return found.moment if found else "ready"

    # runs

    def _look(self) -> None:
        from lockstep.workflows.models import Run

        self._looked = time.monotonic()
        statuses = dict(Run.objects.filter(pk__in=self._live).values_list("pk", "status"))
        for run, status in statuses.items():
            if status not in ("queued", "running", "waiting"):
                self._live.discard(str(run))
                self._moved = time.monotonic()
        if "waiting" in statuses.values():
            self._answer()
        while self.blows and len(self._live) < IN_FLIGHT:
            self._start(next(self._shapes))

    def _start(self, shape: str) -> None:
        from lockstep.workflows import start

        run = str(start(shape, {"steps": [], "receipts": {}}).pk)
        self.runs[run] = shape
        self._live.add(run)

    def _answer(self) -> None:
        """What nobody knows the outcome of: look it up outside, as a person would, and say so."""
        from django.utils import timezone

        from lockstep.workflows import answer
        from lockstep.workflows.models import Wait

        for wait in Wait.objects.filter(status="open", run__in=self._live, run__status="waiting"):
            if (timezone.now() - wait.at).total_seconds() < QUIET_S or self._may_come_yet(str(wait.run_id)):
                continue
            self._see()
            place = wait.proposal["arguments"]["place"]
            done = any(
                mark.moment == "booked" and (mark.run, mark.place) == (str(wait.run_id), place)
                for mark in self.book.all
            )
            said = {"outcome": "done", "result": receipt(place)} if done else {"outcome": "not_done"}
            answer(wait, "edit", by=Clerk(), args={**wait.proposal, **said})
            self.answered[said["outcome"]] += 1
            self._moved = time.monotonic()

    def _may_come_yet(self, run: str) -> bool:
        """Whether a process that hangs may still send what it was about to."""
        return any(
            hit.kind == "hung" and hit.run == run
            and (hit.resumed_at is None or time.monotonic() - hit.resumed_at < QUIET_S)
            for hit in self.hits
        )  # fmt: skip

    def close(self) -> None:
        for hit in self.hits:
            if self._asleep(hit):
                with suppress(ProcessLookupError):
                    os.kill(hit.pid, signal.SIGCONT)


class Clerk:
    """Who answers; the project has no users."""

    pk = "clerk"
    is_active = is_superuser = True

    def has_perm(self, permission: str) -> bool:
        return bool(permission)

    groups: Any = None
