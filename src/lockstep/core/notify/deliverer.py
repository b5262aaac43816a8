"""Sends what is due: each sink in a thread of its own, so that a slow one holds up nobody.

The threads only send. Everything that is noted is noted by the thread that runs the deliverer, on its one connection.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connections

from lockstep.core.exceptions import SinkTimeout
from lockstep.core.notify import claims, jobs, reasons
from lockstep.core.notify.handing import hand_out
from lockstep.core.notify.messages import Message
from lockstep.core.notify.outbox import database
from lockstep.core.notify.registry import get_sink
from lockstep.core.settings import NotifySettings, settings

__all__ = ["Deliverer", "Tally", "deliver", "send_now"]

logger = logging.getLogger("lockstep.notify")

SPARE_S = 2.0
"""A sink that obeys its timeout is not cut for being on time."""
LONGEST_S = 30.0
"""Between two attempts to reach a database that is away."""


@dataclass
class Tally:
    """What a run did."""

    handed: int = 0
    sent: int = 0
    failed: int = 0


@dataclass
class Sending:
    """A thread that sends one message. It may be given up: a thread cannot be killed."""

    claim: claims.Claim
    message: Message
    timeout_s: float
    done: queue.SimpleQueue[Sending]
    started: float = field(default_factory=time.monotonic)
    error: BaseException | None = None
    given_up: bool = False

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"lockstep-{self.claim.sink}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            get_sink(self.claim.sink).send(self.message, timeout_s=self.timeout_s)
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()  # of this thread: a project's own sink may have asked its database
            self.done.put(self)

    def late(self) -> bool:
        return time.monotonic() - self.started > self.timeout_s + SPARE_S


class Deliverer:
    """Hands out, sends and notes, until told to stop or until nothing is due."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._busy: dict[str, Sending] = {}
        self._done: queue.SimpleQueue[Sending] = queue.SimpleQueue()
        self._unnoted: list[Sending] = []

    def run(self, *, within_s: float | None = None) -> Tally:
        """Deliver what is due now.

        Args:
            within_s: nothing new is begun after so many seconds.
        """
        end = None if within_s is None else time.monotonic() + within_s
        while True:
            open_ = end is None or time.monotonic() < end
            handed = self._step() if open_ else 0
            if not handed and not self._sending():
                return self.tally
            self._collect(0.0 if handed else 0.2)

    def follow(self, stop: threading.Event) -> Tally:
        """Deliver until ``stop`` is set; then what is under way is finished. A database that is away is waited for."""
        helper = threading.Thread(target=_keep_house, args=(stop,), name="lockstep-jobs", daemon=True)
        helper.start()
        wait = poll = settings().notify.poll_s
        while not stop.is_set():
            try:
                handed = self._step()
                self._collect(0.0 if handed else poll)
                wait = poll
            except (DatabaseError, InterfaceError) as error:
                wait = _rest(error, wait, stop)
        self._finish()
        helper.join(LONGEST_S)
        return self.tally

    # --- parts ------------------------------------------------------------------------------------

    def _step(self) -> int:
        """Hand out, then begin what can be begun. Returns: number of notices handed out."""
        handed = hand_out()
        self.tally.handed += handed
        wishes = settings().notify
        for sink in sorted(claims.ready(set(wishes.sinks) - set(self._busy))):
            self._begin(sink, wishes)
        return handed

    def _begin(self, sink: str, wishes: NotifySettings) -> None:
        claim = claims.claim(sink, wishes)
        if claim is None:
            return
        try:
            message = claim.message()
        except Exception as error:  # a redaction that fails lets nothing out
            self._note_failure(claim, error)
            return
        self._busy[sink] = Sending(claim, message, wishes.timeout_s, self._done)
        self._busy[sink].start()

    def _sending(self) -> Mapping[str, Sending]:
        return {sink: one for sink, one in self._busy.items() if not one.given_up}

    def _collect(self, wait_s: float) -> None:
        """Wait for a message to come back, note all that did, and cut those that are late."""
        try:
            self._unnoted.append(self._done.get(timeout=wait_s) if wait_s else self._done.get_nowait())
            while True:
                self._unnoted.append(self._done.get_nowait())
        except queue.Empty:
            pass
        while self._unnoted:
            self._note(self._unnoted[0])  # stays on the list while the database is away
            self._unnoted.pop(0)
        for one in self._sending().values():
            if one.late():
                one.given_up = True
                self._note_failure(one.claim, SinkTimeout(f"no end after {one.timeout_s:g} s"))

    def _note(self, one: Sending) -> None:
        if one.error is None:
            claims.sent(one.claim)  # late is better than never: it is not tried again
            self.tally.sent += 1 + len(one.claim.earlier)
        elif not one.given_up:
            self._note_failure(one.claim, one.error)
        if self._busy.get(one.claim.sink) is one:
            del self._busy[one.claim.sink]

    def _note_failure(self, claim: claims.Claim, error: BaseException) -> None:
        reason = reasons.reason(error)
        logger.warning("Notice %s could not be delivered to %s: %s", claim.notice.pk, claim.sink, reason)
        claims.failed(claim, reason, down=reasons.is_down(error), retry_after_s=reasons.retry_after_s(error))
        self.tally.failed += 1

    def _finish(self) -> None:
        """What is under way is noted; for the database one more patience than for the sinks."""
        end = time.monotonic() + settings().notify.timeout_s + SPARE_S + 1
        while (self._sending() or self._unnoted) and time.monotonic() < end:
            try:
                self._collect(0.2)
            except (DatabaseError, InterfaceError):
                connections[database()].close()
                time.sleep(0.5)


def deliver(*, within_s: float = 50.0) -> Tally:
    """Run the jobs that are due and deliver what is due: what a scheduler calls every few seconds."""
    jobs.run_due()
    return Deliverer().run(within_s=within_s)


def send_now(sink: str, message: Message) -> None:
    """Send one message past the outbox, once.

    Raises:
        SinkMisconfigured: the sink cannot be built.
        SinkError: it did not take the message; the text says why.
        Exception: whatever a project's own sink raises.
    """
    get_sink(sink)
    answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    timeout_s = settings().notify.timeout_s

    def run() -> None:
        error: BaseException | None = None
        try:
            get_sink(sink).send(message, timeout_s=timeout_s)
        except BaseException as found:
            error = found
        finally:
            connections.close_all()
            answers.put(error)

    threading.Thread(target=run, name=f"lockstep-{sink}-now", daemon=True).start()
    try:
        error = answers.get(timeout=timeout_s + SPARE_S)
    except queue.Empty:
        raise SinkTimeout(f"no end after {timeout_s:g} s") from None
    if error is not None:
        raise error


def _keep_house(stop: threading.Event) -> None:
    """Jobs beside the deliveries, on a connection of their own."""
    wait = 1.0
    try:
        while not stop.wait(wait):
            try:
                jobs.run_due()
                wait = 1.0
            except (DatabaseError, InterfaceError) as error:
                wait = _rest(error, wait, stop)
    finally:
        connections.close_all()


def _rest(error: BaseException, wait: float, stop: threading.Event) -> float:
    """Let go of a connection that may be broken, wait, and say how long to wait next time."""
    logger.warning("Notices wait: the database does not answer (%s).", type(error).__name__)
    connections.close_all()
    stop.wait(wait)
    return min(wait * 2, LONGEST_S)
