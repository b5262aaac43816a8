from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, router, transaction

from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.rights import export
from lockstep.privacy.rights.models import Receipt
from lockstep.privacy.rights.texts import told


class Command(BaseCommand):
    help = "Write down everything that is kept of a person (GDPR, Article 15), as JSON, with a receipt."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--subject", required=True, metavar="KEY", help="The person's key: str(user.pk).")
        parser.add_argument("--actor", required=True, help="Who decided; stays on the receipt.")
        parser.add_argument("--reason", default="", help="Why: a case number, not a name; stays too.")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="A new file that only you may read; else to the terminal.",
        )

    def handle(self, *, subject: str, output: Path | None, **about: Any) -> None:
        how = {name: about[name] for name in ("actor", "reason")}
        try:
            if output is None:
                receipt = export(subject, lambda text: self.stdout.write(text, ending=""), **how)
            else:
                receipt = to_new_file(output, subject, how)
        except RightsError as error:
            raise CommandError(str(error)) from error
        except Error as error:
            raise CommandError(f"The database refuses: {told(error)}") from error
        self.stderr.write(f"{receipt.total('exported')} rows. Receipt {receipt.pk} of {receipt.subject}.")


def to_new_file(path: Path, subject: str, how: dict[str, str]) -> Receipt:
    """Nobody else can read the file at any moment, and none of before is overwritten or written through."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{path}: {why}. Nothing was exported.") from error
    try:
        # the file is closed before the receipt is committed: there is none for what the disk did not take
        with (
            transaction.atomic(using=router.db_for_write(Receipt)),
            open(handle, "w", encoding="utf-8", newline="\n") as file,
        ):
            return export(subject, file.write, **how)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
