"""``manage.py lockstep_check_upgrade``: which live runs this code would break."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from lockstep.workflows import registry
from lockstep.workflows.models import Run
from lockstep.workflows.upgrade import broken_runs, drift


class Command(BaseCommand):
    help = (
        "Lists live runs that this code cannot go on with, and ends with 1 where there are any; and what was changed"
        " of a graph without a new version. Run it from the new code against the live database, before the deploy."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for workflow in registry.every():
            for change in drift(workflow):
                self.stdout.write(
                    f"{workflow.name} {workflow.version} is not as it was run before: {change}."
                )
        found = broken_runs()
        for broken in found:
            run = broken.run
            self.stdout.write(f"{run.pk} {run.workflow} {run.version} ({run.status}): {broken.reason}")
        if found:
            self.stdout.write(f"{len(found)} of {Run.objects.live().count()} live runs would be blocked.")
            sys.exit(1)
        self.stdout.write(f"All {Run.objects.live().count()} live runs can go on.")
