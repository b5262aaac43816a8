"""Prompts from the command line: files to versions, releases, and the report of what is in production."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from lockstep.prompts import files, releases, reports
from lockstep.prompts.arms import Arm
from lockstep.prompts.conf import settings
from lockstep.prompts.exceptions import PromptError
from lockstep.prompts.models import PromptVersion
from lockstep.prompts.reports import LivePrompt, Stranger
from lockstep.prompts.sync import drift, sync


class Command(BaseCommand):
    help = "Prompts: versions from files, releases, roll-backs, and what is in production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        made = actions.add_parser("sync", help="make versions from the prompt files")
        made.add_argument(
            "--author", default="", help="who is named as their author; the user of this machine"
        )
        actions.add_parser("check", help="exit 1 when files and database disagree")
        shown = actions.add_parser("show", help="print a version as a file")
        shown.add_argument("prompt")
        shown.add_argument("version", nargs="?", default="", help="address or its beginning; the live one")
        self._add_release(actions.add_parser("release", help="put versions into production"))
        self._add_roll_back(actions.add_parser("roll-back", help="release again what was live before"))
        self._add_report(actions.add_parser("in-production", help="which versions are or were live"))

    def _add_release(self, parser: ArgumentParser) -> None:
        parser.add_argument("prompt")
        parser.add_argument(
            "--arm",
            action="append",
            required=True,
            metavar="[NAME=]VERSION[:WEIGHT][@MODEL]",
            help="'file' as VERSION is what the prompt's file holds; several arms split the traffic by weight",
        )
        self._add_why(parser)
        parser.add_argument(
            "--override-by", default="", help="second person, who answers for what did not pass"
        )
        parser.add_argument("--override-reason", default="")

    def _add_roll_back(self, parser: ArgumentParser) -> None:
        parser.add_argument("prompt")
        parser.add_argument("--to", type=int, help="number of the release; the last with another split")
        self._add_why(parser)

    def _add_why(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True)
        parser.add_argument("--actor", default="", help="who decides; the user of this machine")
        parser.add_argument("--ticket", default="")
        parser.add_argument("--environment")

    def _add_report(self, parser: ArgumentParser) -> None:
        parser.add_argument("--at", type=_time, help="a moment, ISO 8601; now")
        parser.add_argument("--attest", action="store_true", help="exit 1 when the ledger saw anything else")
        parser.add_argument("--days", type=float, default=1.0, help="how far back --attest looks")
        parser.add_argument("--environment")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"do_{action.replace('-', '_')}")(**options)
        except PromptError as error:
            raise CommandError(str(error)) from error

    def do_sync(self, *, author: str, **_: Any) -> None:
        for version, new in sync(author or _user()):
            self.stdout.write(f"{version.prompt_id}  {version.short}  {'new' if new else 'known'}")

    def do_check(self, **_: Any) -> None:
        found = list(drift())
        for item in found:
            self.stderr.write(f"{item.text}\n  {item.hint}")
        if found:
            raise CommandError(f"{len(found)} differences between the files and the database.")
        self.stdout.write("Files and database agree.")

    def do_show(self, *, prompt: str, version: str, **_: Any) -> None:
        if not version:
            row = releases.live(prompt)
            if row is None:
                raise CommandError(f"{prompt} has no release: name the version.")
            version = row.split[0].version
        found = PromptVersion.objects.using(settings().database).named(prompt, version)
        self.stdout.write(files.write(found.content), ending="")

    def do_release(self, *, prompt: str, arm: list[str], actor: str, **options: Any) -> None:
        names = "abcdefghijklmnopqrst"
        arms = [_arm(text, prompt, names[number % 20]) for number, text in enumerate(arm)]
        why = {
            name: options[name]
            for name in ("reason", "ticket", "environment", "override_by", "override_reason")
        }
        row = releases.release(prompt, arms, actor=actor or _user(), **why)
        self._say(row)

    def do_roll_back(self, *, prompt: str, to: int | None, actor: str, **options: Any) -> None:
        why = {name: options[name] for name in ("reason", "ticket", "environment")}
        self._say(releases.roll_back(prompt, to=to, actor=actor or _user(), **why))

    def do_in_production(
        self, *, at: datetime | None, attest: bool, days: float, environment: str | None, **options: Any
    ) -> None:
        live = reports.in_production(at, environment)
        found = reports.strangers(at, timedelta(days=days), environment) if attest else []
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(live, found, at, attest), indent=2, ensure_ascii=False))
        else:
            self._table(live, environment)
            for stranger in found:
                self.stderr.write(_sentence(stranger))
        if found:
            raise CommandError(f"The ledger saw {len(found)} versions that no release explains.")
        if attest and not options["json"]:
            self.stdout.write(f"The ledger of the last {days:g} days saw nothing else.")

    def _say(self, row: Any) -> None:
        copied = f", copied from release {row.copied_from.number}" if row.copied_from else ""
        self.stdout.write(f"{row.prompt_id} release {row.number} in {row.environment}{copied}")
        for arm, share in row.shares:
            self.stdout.write(
                f"  {arm.name}  {arm.version[:12]}  {share:.4g} %{'  ' + arm.model if arm.model else ''}"
            )

    def _table(self, live: list[LivePrompt], environment: str | None) -> None:
        if not live:
            self.stdout.write(f"Nothing is released in {environment or settings().environment}.")
        for row in live:
            self.stdout.write(
                f"{row.prompt}  release {row.release} since {row.since:%Y-%m-%d %H:%M:%S %Z}"
                f" by {row.actor}{f' ({row.ticket})' if row.ticket else ''}: {row.reason}"
            )
            for arm in row.arms:
                self.stdout.write(
                    f"  {arm.arm}  {arm.version[:12]}  {100 * arm.share:.4g} %  {arm.model}".rstrip()
                )


def _as_json(
    live: list[LivePrompt], found: list[Stranger], at: datetime | None, attest: bool
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "at": (at or timezone.now()).isoformat(),
        "prompts": [row.as_json() for row in live],
    }
    if attest:
        answer |= {"attested": not found, "strangers": [stranger.as_json() for stranger in found]}
    return answer


def _sentence(stranger: Stranger) -> str:
    return (
        f"stranger: {stranger.prompt} {stranger.version or 'without a version'}, {stranger.calls} calls,"
        f" {stranger.first_at:%Y-%m-%d %H:%M:%S} to {stranger.last_at:%Y-%m-%d %H:%M:%S %Z}"
    )


def _user() -> str:
    """The user of this machine; empty where it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _arm(text: str, prompt: str, default_name: str) -> Arm:
    """``name=version:weight@model``; all but the version may be left out."""
    head, _, model = text.partition("@")
    name, _, rest = head.rpartition("=")
    version, _, weight = rest.partition(":")
    if weight and not weight.isdigit():
        raise CommandError(f"--arm {text}: {weight!r} is no weight, take a whole number from 1.")
    if version == "file":
        version = _of_file(prompt)
    return Arm(name or default_name, version, int(weight or 100), model)


def _of_file(prompt: str) -> str:
    file = files.find(prompt)
    if file is None:
        raise CommandError(f"{prompt} has no file.")
    return file.body.key


def _time(text: str) -> datetime:
    """ISO 8601; without an offset in the project's time zone, without a time at its midnight."""
    day = parse_date(text) if len(text) == 10 else None
    moment = parse_datetime(f"{text}T00:00:00" if day else text)
    if moment is None:
        raise ValueError(text)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
