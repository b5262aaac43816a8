from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from lockstep.search import stats
from lockstep.search.management.commands._indexes import add_arguments, chosen


class Command(BaseCommand):
    help = "Count the words of indexed models anew, so that rare words weigh more. Run it daily, or after a load."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        for index in chosen(options):
            count = stats.refresh(index, options["database"])
            self.stdout.write(f"{index.label}: words of {count} records counted.")
