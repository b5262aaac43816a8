from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections

from lockstep.core.conf import nearest
from lockstep.core.retention.ageing import Age, age, aged, delete_some
from lockstep.core.retention.conf import settings
from lockstep.core.retention.evidence import days, evidence, facts, size
from lockstep.core.retention.holds import HoldError, hold, release
from lockstep.core.retention.models import LegalHold
from lockstep.core.retention.policies import expiring, is_installed
from lockstep.core.retention.roles import setup
from lockstep.core.retention.sweeping import PATIENCE_MS, SweepBusy, sweep


class Command(BaseCommand):
    help = "What expires or gets old: give its disk back, see how it stands, keep what a lawsuit needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="purge | status | hold | release | holds | roles"
        )
        purge = actions.add_parser(
            "purge", help="Drop the days that have expired, delete what is old; exit 1 when a table is busy."
        )
        purge.add_argument("--follow", action="store_true", help="Keep going.")
        purge.add_argument(
            "--every-s", type=float, default=600.0, help="Seconds between looks while following."
        )
        purge.add_argument(
            "--patience-ms",
            type=int,
            default=PATIENCE_MS,
            help="Longest wait for a table; its readers wait with us.",
        )
        actions.add_parser(
            "status", help="Evidence; exit 1 when nobody purges, 2 when something expired can be read."
        )
        held = actions.add_parser("hold", help="Keep a row, or everything about a person, past its expiry.")
        held.add_argument(
            "model", nargs="?", metavar="app.Model", help="Every table that expires when left out."
        )
        what = held.add_mutually_exclusive_group(required=True)
        what.add_argument("--key", default="", help="Primary key of the row.")
        what.add_argument("--subject", default="", help="The person's key, as the table has it.")
        released = actions.add_parser("release", help="End a hold.")
        released.add_argument("number", type=int, metavar="HOLD")
        for action in (held, released):
            action.add_argument("--actor", required=True, help="Who decides.")
            action.add_argument("--reason", required=True, help="Why; a case number for one.")
        actions.add_parser("holds", help="Holds in force.")
        roles = actions.add_parser("roles", help="Print the SQL that splits owner and application (level B).")
        roles.add_argument(
            "--owner", default=settings().owner or "lockstep_owner", help="Role that will own."
        )
        roles.add_argument(
            "--app", default="", help="Role of the application; the connection's when left out."
        )
        for action in actions.choices.values():
            action.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Alias of the database.")

    def handle(self, *args: Any, **options: Any) -> None:
        using = options["database"]
        if using not in connections:
            raise CommandError(f"No database {using!r}. {nearest(using, set(connections))}")
        if not is_installed(using):
            raise CommandError(f"Nothing expires in the database {using!r}: run migrate.")
        try:
            getattr(self, f"handle_{options['action']}")(using, options)
        except HoldError as error:
            raise CommandError(str(error)) from error

    def handle_purge(self, using: str, options: dict[str, Any]) -> None:
        while True:
            busy = self.purge(using, options["patience_ms"])
            if not options["follow"]:
                break
            time.sleep(options["every_s"])
        if busy:
            raise CommandError("\n".join(busy))

    def purge(self, using: str, patience_ms: int) -> list[str]:
        """Sweep each table once, and delete what is old. Returns what could not be done."""
        failed = []
        for table in list(expiring(using)):
            try:
                for done in sweep(table, using, patience_ms=patience_ms):
                    held = f", {done.held} held" if done.held else ""
                    self.stdout.write(
                        f"{done.partition}: {done.rows} rows gone{held}, {size(done.size_bytes)}"
                    )
            except (SweepBusy, Error) as error:  # the other tables want to be swept too
                failed.append(f"{table}: {error}")
                self.stderr.write(f"{table}: {error}")
        for model, entry in aged(using):
            gone = 0
            while count := delete_some(model, entry):
                gone += count
            if gone:
                self.stdout.write(f"{model._meta.db_table}: {gone} rows gone")
        return failed

    def handle_status(self, using: str, options: dict[str, Any]) -> None:
        found = [evidence(table, using) for table in expiring(using)]
        ages = [age(model, entry, using) for model, entry in aged(using)]
        for table, known in [(one.table, facts(one)) for one in found] + [
            (one.table, facts_of_age(one)) for one in ages
        ]:
            self.stdout.write("\n".join([table, *(f"  {name:<20} {value}" for name, value in known)]))
        if any(one.leaks for one in found):
            raise CommandError(
                "Something that has expired can be read: see manage.py check --deploy --database"
                f" {using} for what is missing.",
                returncode=2,
            )
        if any(one.is_late for one in found):
            raise CommandError(
                "Nobody purges: start manage.py lockstep_retention purge --follow.", returncode=1
            )
        if any(one.is_late for one in ages):
            raise CommandError(
                "Nobody deletes what is old: start manage.py lockstep_notify --follow, which runs the jobs, or"
                " manage.py lockstep_retention purge.",
                returncode=1,
            )

    def handle_hold(self, using: str, options: dict[str, Any]) -> None:
        model = None
        if options["model"]:
            try:
                model = apps.get_model(options["model"])
            except (LookupError, ValueError) as error:
                raise CommandError(f"{options['model']}: {error}") from error
        made = hold(
            actor=options["actor"], reason=options["reason"], model=model, key=options["key"],
            subject=options["subject"], using=using,
        )  # fmt: skip
        self.stdout.write(f"Hold {made.pk} on {made} is in force.")

    def handle_release(self, using: str, options: dict[str, Any]) -> None:
        done = release(options["number"], actor=options["actor"], reason=options["reason"], using=using)
        self.stdout.write(f"Hold {done.pk} on {done} is released.")

    def handle_holds(self, using: str, options: dict[str, Any]) -> None:
        for one in LegalHold.objects.using(using).in_force().order_by("id"):
            self.stdout.write(f"{one.pk}  {one.at:%Y-%m-%d %H:%M}  {one}  {one.actor}: {one.reason}")

    def handle_roles(self, using: str, options: dict[str, Any]) -> None:
        self.stdout.write(setup(using, owner=options["owner"], app=options["app"]))


def facts_of_age(one: Age) -> list[tuple[str, object]]:
    return [
        ("kept", days(one.keep) if one.keep else "for ever"),
        ("oldest row", f"{one.oldest:%Y-%m-%d %H:%M} UTC" if one.oldest else "-"),
        ("past their time", f"{one.overdue} rows, deleted by a job"),
    ]
