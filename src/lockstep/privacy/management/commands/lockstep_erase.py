from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.rights import count, erase
from lockstep.privacy.rights.texts import line, told


class Command(BaseCommand):
    help = "Erase a person from every registered table (GDPR, Article 17), with a receipt."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--subject", required=True, metavar="KEY", help="The person's key: str(user.pk).")
        parser.add_argument("--actor", required=True, help="Who decided; stays on the receipt.")
        parser.add_argument("--reason", default="", help="Why: a case number, not a name; stays too.")
        parser.add_argument("--dry-run", action="store_true", help="Count what would go; change nothing.")

    def handle(self, *, subject: str, actor: str, reason: str, dry_run: bool, **_: Any) -> None:
        try:
            if dry_run:
                self._print(count(subject))
                self.stdout.write("Nothing was changed.")
                return
            receipt = erase(subject, actor=actor, reason=reason)
        except RightsError as error:
            raise CommandError(str(error)) from error
        except Error as error:
            raise CommandError(f"The database refuses: {told(error)}") from error
        self._print(receipt.counts)
        for sentence in receipt.beyond:
            self.stdout.write(sentence)
        found = "" if receipt.total("erased") or receipt.total("blanked") else "Nothing was found. "
        self.stdout.write(f"{found}Receipt {receipt.pk} of {receipt.subject}.")

    def _print(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        for name, found in sorted(counts.items()):
            self.stdout.write(f"{name:<40} {line(found)}")
