"""``manage.py lockstep_work``: a worker without Celery, for a small machine or a first try."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lockstep.workflows import draining
from lockstep.workflows.conf import settings
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import EngineError
from lockstep.workflows.sweeping import due
from lockstep.workflows.tools import threads


class Command(BaseCommand):
    help = "Takes runs of workflows as far as they go, one at a time. Celery's workers do the same at once and beside."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="those that are due, then end (the default)")
        how.add_argument("--follow", action="store_true", help="until SIGTERM or SIGINT")

    def handle(self, *args: Any, follow: bool = False, **options: Any) -> None:
        stop = threading.Event()

        def ask(number: int, frame: FrameType | None) -> None:
            stop.set()
            draining.ask()  # a run that is under way stops at its next transition

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if not follow:
                self._work()
            while follow and not stop.wait(settings().sweep_s / 2) and not threads.wants_to_retire():
                try:
                    self._work()
                except EngineError as error:  # whoever may have the run by then takes it up
                    self.stderr.write(f"{error} It is tried again.")
            if threads.wants_to_retire():
                raise CommandError(
                    f"{threads.abandoned()} tools of this process outlived their time, and nobody can stop a thread: it"
                    " ends here. Let it be started again.",
                    returncode=threads.RETIRED,
                )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            draining.forget()

    def _work(self) -> None:
        """Until nothing is due: a run that ends may let another begin."""
        while not draining.asked() and not threads.wants_to_retire() and (runs := due(1, patience_s=0)):
            for run, workflow in runs:
                self.stdout.write(f"{workflow} {run}: {advance(run) or 'nothing to do'}")
