"""``manage.py lockstep_import_run``: a run from elsewhere, to look at and to replay."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lockstep.core.exceptions import LockstepError
from lockstep.workflows.replays.transfer import MOST_BYTES, import_run


class Command(BaseCommand):
    help = "Reads a run that lockstep_export_run wrote. No worker takes it up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--actor", required=True, help="Who decided; stays with the run.")

    def handle(self, *, file: Path, actor: str, **options: Any) -> None:
        try:
            with file.open("rb") as opened:
                text = opened.read(MOST_BYTES + 1)
            run = import_run(text, by=actor)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error
        except LockstepError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Run {run.pk} of {run.workflow} {run.version}, {(run.origin or {})['mode']}.")
