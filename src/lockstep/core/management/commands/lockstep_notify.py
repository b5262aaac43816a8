"""``manage.py lockstep_notify``: deliver notices, once or until told to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lockstep.core.notify import jobs
from lockstep.core.notify.deliverer import Deliverer, Tally


class Command(BaseCommand):
    help = "Delivers notices to the sinks of LOCKSTEP['core']['notify'] and runs registered jobs. Several may run."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="deliver what is due, then end (the default)")
        how.add_argument("--follow", action="store_true", help="until SIGTERM or SIGINT")

    def handle(self, *args: Any, follow: bool = False, **options: Any) -> None:
        if follow:
            self._say(self._follow())
        else:
            jobs.run_due()
            self._say(Deliverer().run())

    def _follow(self) -> Tally:
        stop = threading.Event()

        def ask(number: int, frame: FrameType | None) -> None:
            stop.set()

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return Deliverer().follow(stop)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _say(self, tally: Tally) -> None:
        self.stdout.write(f"{tally.handed} new, {tally.sent} delivered, {tally.failed} failed attempts.")
