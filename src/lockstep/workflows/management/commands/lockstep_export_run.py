"""``manage.py lockstep_export_run``: a run as one file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from lockstep.core.exceptions import LockstepError
from lockstep.workflows.models import Run
from lockstep.workflows.replays.transfer import export_run


class Command(BaseCommand):
    help = (
        "Writes a run into a new file, with the versions of prompts that it used. Who did it stays on record."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", metavar="RUN", help="Its id.")
        parser.add_argument("file", metavar="FILE", type=Path, help="A new file that only you may read.")
        parser.add_argument("--actor", required=True, help="Who decided; stays on record.")
        parser.add_argument(
            "--redacted",
            action="store_true",
            help="Its shape, and of what it says only what the policy of its feature lets be kept.",
        )

    def handle(self, *, run: str, file: Path, actor: str, redacted: bool, **options: Any) -> None:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise CommandError(f"{file}: {why}. Nothing was exported.") from error
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as written:
                written.write(export_run(run, mode="redacted" if redacted else "exact", by=actor))
        except BaseException as error:
            file.unlink(missing_ok=True)
            if isinstance(error, Run.DoesNotExist | ValidationError):
                raise CommandError(f"There is no run {run!r:.60}.") from error
            if isinstance(error, LockstepError | OSError):
                raise CommandError(str(error)) from error
            raise
        self.stdout.write(f"{file}: run {run}, {'redacted' if redacted else 'exact'}.")
