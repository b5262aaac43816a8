"""``manage.py lockstep_replay``: a run once more, from what is written of it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from lockstep.core.exceptions import LockstepError
from lockstep.workflows.models import Run
from lockstep.workflows.replays.replaying import replay
from lockstep.workflows.replays.report import Report


class Command(BaseCommand):
    help = "Runs the nodes of a run once more, without any effect, and ends with 1 where something else comes of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", metavar="RUN", help="Its id.")
        parser.add_argument(
            "--live-model",
            action="store_true",
            help="Ask the same models again, which costs what it costs; else they say what they said.",
        )
        parser.add_argument("--json", action="store_true", help="The whole report, for programs.")

    def handle(self, *, run: str, live_model: bool, json: bool, **options: Any) -> None:
        try:
            report = replay(run, "live-model" if live_model else "recorded")
        except (Run.DoesNotExist, ValidationError) as error:
            raise CommandError(f"There is no run {run!r:.60}.") from error
        except LockstepError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_json(report) if json else _lines(report))
        if not report.same:
            sys.exit(1)


def _json(report: Report) -> str:
    return json.dumps(report.as_json(), indent=2, ensure_ascii=False)


def _lines(report: Report) -> str:
    rows = [
        f"{'same' if one.same else 'DIFFERS':8} step {one.step!s:>3}  {one.kind:5}  {one.node}"
        + ("" if one.same else f": {one.why}")
        for one in report.checked
    ]
    told = [
        f"{'':10}{heard.model} said {heard.now!r:.60} instead of {heard.then!r:.60}"
        for one in report.checked for heard in one.heard if heard.now != heard.then
    ]  # fmt: skip
    return "\n".join([*rows, *told, f"{report.workflow} {report.version}, {report.mode}: {report.verdict}"])
