"""What this process owns, and the sign of life that says so.

One connection of its own and one thread for all runs of the process. The connection is a sign of life itself: when the
process dies its session ends, and whoever sweeps sees that long before the lease runs out.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from lockstep.core.testruns import under_test_runner
from lockstep.workflows import draining
from lockstep.workflows.conf import settings
from lockstep.workflows.connection import apart
from lockstep.workflows.exceptions import EngineError
from lockstep.workflows.saver import Fence

__all__ = ["Held", "Owner", "here"]

logger = logging.getLogger("lockstep.workflows")

LOOK_S = 0.2
"""How often a busy process looks whether its worker is told to stop."""

BEAT = "SELECT lockstep_workflows_beat_v1(%s::jsonb, %s, %s, %s)::text"
SESSION = "SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())"
ACQUIRE = "SELECT lockstep_workflows_acquire_v1(%s, %s::jsonb)::text"


@dataclass(frozen=True, slots=True)
class Held:
    """A run that was acquired, as it was at that moment."""

    fence: Fence
    row: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.row["id"])


class Owner:
    """One for a process; see ``here()``."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.name = f"{socket.gethostname()}:{self.pid}:{secrets.token_hex(3)}"[:200]
        self._held: dict[str, Fence] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: psycopg.Connection[Any] | None = None
        self._identity: tuple[int | None, datetime | None] = (None, None)

    def acquire(self, run: str) -> Held | None:
        """Own the run from now on; None where it is somebody else's or wants nobody.

        Raises:
            EngineError: the database cannot be reached.
        """
        pid, since = self._connected()
        now = settings()
        asked = {
            "owner": self.name, "pid": pid, "since": since and since.isoformat(), "lease_s": now.lease_s,
            "most_crashes": now.most_crashes,
        }  # fmt: skip
        (found,) = apart.query(ACQUIRE, (run, json.dumps(asked)))
        if found is None:
            return None
        row = json.loads(found)
        return Held(Fence(str(row["id"]), row["epoch"], now.lease_s), row)

    @contextmanager
    def holding(self, held: Held) -> Iterator[None]:
        """Give signs of life for the run while the block runs."""
        with self._lock:
            self._held[held.id] = held.fence
            if self._thread is None and not under_test_runner():
                self._thread = threading.Thread(target=self._live, name="lockstep-heartbeat", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(held.id) is held.fence:  # and not a later one's, in a pool of threads
                    del self._held[held.id]

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):
                session.close()

    def _connected(self) -> tuple[int | None, datetime | None]:
        """The session by which others see that this process lives; none in tests and behind a pooler, which shares
        them."""
        if under_test_runner() or settings().pooler == "transaction":
            return None, None
        with self._lock:
            if self._session is None or _over(self._session):
                self.close()
                try:
                    self._session = apart.connect(connect_timeout=5)
                    row = self._session.execute(SESSION).fetchone()
                except psycopg.Error as error:
                    raise EngineError("The database of the runs cannot be reached.") from error
                assert row is not None
                self._identity = row[0], row[1]
            return self._identity

    def _live(self) -> None:
        beaten = 0.0
        while True:
            if not self._held:
                self._wake.wait()
                self._wake.clear()
            self._leave_if_stuck()
            if draining.asked():
                self._tell_all(lambda fence: fence.stop("shutdown"))
            due = time.monotonic() - beaten >= settings().lease_s / 4
            if (due or self._lost_session()) and self.beat():
                beaten = time.monotonic()
            self._pause()

    def beat(self) -> bool:
        """Renew the lease of all runs; whether that could be done. What goes unrenewed for half of it is lost."""
        lease = settings().lease_s
        with self._lock:
            held = dict(self._held)
        if not held:
            return True
        now = time.monotonic()
        owned = json.dumps([{"run": run, "epoch": fence.epoch} for run, fence in held.items()])
        try:
            pid, since = self._connected()
            if self._session is not None:
                row = self._session.execute(BEAT, (owned, pid, since, lease)).fetchone()
            else:
                row = apart.query(BEAT, (owned, pid, since, lease))
        except (psycopg.Error, EngineError) as error:
            logger.warning("No sign of life could be given (%s).", type(error).__name__)
            self.close()
            self._lose_stale()
            return False
        assert row is not None
        alive = json.loads(row[0])
        for run, fence in held.items():
            if run in alive:
                fence.renewed_at = now
                if alive[run]:
                    fence.cancel()
            elif run in self._held:  # or it was let go of meanwhile
                fence.lose()
        return True

    def _lose_stale(self) -> None:
        """Long before somebody else may take them over, runs whose lease could not be renewed are left alone."""
        now = time.monotonic()
        with self._lock:
            stale = [fence for fence in self._held.values() if now - fence.renewed_at > fence.lease_s / 2]
        for fence in stale:
            fence.lose()

    def _tell_all(self, tell: Any) -> None:
        with self._lock:
            held = list(self._held.values())
        for fence in held:
            tell(fence)

    def _leave_if_stuck(self) -> None:
        """A thread cannot be stopped. The process can: whoever takes its runs over counts it as a crash."""
        with self._lock:
            stuck = [(run, fence) for run, fence in self._held.items() if fence.stuck]
        for run, fence in stuck:
            logger.critical(
                "No node of run %s has begun or ended for %g s (node_timeout_s): this process ends.",
                run,
                fence.node_timeout_s,
            )
        if stuck:
            os._exit(70)

    def _lost_session(self) -> bool:
        return self._identity[0] is not None and (self._session is None or self._session.closed)

    def _pause(self) -> None:
        """Until the next look; at once when the server ends the session, so that nobody takes the runs for orphans."""
        session = self._session
        if session is None:
            time.sleep(LOOK_S)
        elif _over(session, LOOK_S):
            self.close()


def _over(session: psycopg.Connection[Any], wait_s: float = 0) -> bool:
    """Whether the server has ended the session. Nothing is asked just now: what it has to say is good-bye."""
    try:
        readable, _, _ = select.select([session.fileno()], [], [], wait_s)
        if readable:
            session.execute("SELECT 1")
    except (psycopg.Error, OSError, ValueError):
        return True
    return False


_owner: Owner | None = None
_making = threading.Lock()


def here() -> Owner:
    """The owner that this process is; another after a fork."""
    global _owner
    with _making:
        if _owner is None or _owner.pid != os.getpid():
            _owner = Owner()
        return _owner
