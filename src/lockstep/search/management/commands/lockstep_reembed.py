from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connections

from lockstep.search import queue, spaces, stats
from lockstep.search.conf import settings
from lockstep.search.declaration import Declaration
from lockstep.search.exceptions import SearchError
from lockstep.search.management.commands._indexes import add_arguments, chosen
from lockstep.search.vector_tables import build_vector_index, has_vector_index


class Command(BaseCommand):
    help = (
        "Embed the records that are not in step: rows from before the index, rows written in deferred mode, rows"
        " read under an older declaration. Stop it when you like and start it again; run as many as you like."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)
        parser.add_argument(
            "--follow", action="store_true", help="Keep going and embed what is written from now on."
        )
        parser.add_argument(
            "--poll-s", type=float, default=0.5, help="Seconds between looks while following."
        )
        parser.add_argument(
            "--stats-s", type=float, default=300, help="Seconds between word counts while following."
        )
        parser.add_argument("--batch-size", type=int, help="Records embedded and committed together.")
        parser.add_argument(
            "--verify",
            action="store_true",
            help="Read every text again: finds what was written while triggers were disabled, and columns whose"
            " type a migration changed.",
        )
        parser.add_argument(
            "--new-space",
            action="store_true",
            help="The embedder in the settings is another model: embed everything anew with it, then drop the old"
            " vectors. The dense leg fills up meanwhile; the other legs answer.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using, indexes = options["database"], chosen(options)
        self.batch_size = options["batch_size"] or settings().batch_size
        if self.batch_size < 1:
            raise CommandError("--batch-size must be at least 1.")
        self.quiet = options["verbosity"] == 0
        failed = 0
        for index in indexes:
            try:
                if options["new_space"]:
                    spaces.replace(index, using)
                failed += self.catch_up(index, using, options["verify"])
            except SearchError as error:
                if not options["follow"]:
                    raise CommandError(f"{index.label}: {error}") from error
                self.stderr.write(f"{index.label}: {error}")
        if options["follow"]:
            self.follow(indexes, using, options["poll_s"], options["stats_s"])
        if failed:
            raise CommandError(
                f"{failed} records could not be embedded: the log names them. They wait in the queue; run this again."
            )

    def catch_up(self, index: Declaration, using: str, verify: bool) -> int:
        """Queue what is behind, work it off, then have the database vouch for it. Returns: how many failed."""
        started = queue.clock(using)
        queue.enqueue(index, using, verify=verify)
        waiting = queue.backlog(index, using).waiting
        done = sum(self.with_progress(self.work_off(index, using, started), waiting, index.label))
        if waiting or stats.documents(index, using) is None:
            stats.refresh(index, using)
        table = spaces.active(index, using).table
        if not has_vector_index(table, using):
            self.say(f"{index.label}: building the vector index …")
            build_vector_index(table, using)
        left = queue.backlog(index, using)
        if not left.waiting:
            queue.validate(index, using)
            spaces.drop_retired(index, using)
        self.say(f"{index.label}: {done} embedded, {left.waiting} waiting, {left.failed} of them failed.")
        return left.failed

    def work_off(self, index: Declaration, using: str, started: datetime) -> Iterator[int]:
        """Until nothing is left from before the start: what another process has claimed, it may not finish."""
        while True:
            yield from queue.work_off(index, using, self.batch_size)
            if not queue.untried(index, using, started):
                return
            time.sleep(0.2)

    def with_progress(self, batches: Iterator[int], total: int, label: str) -> Iterator[int]:
        """Pass the batches on, telling a person how far it is. tqdm draws a bar where it is installed."""
        try:
            from tqdm import tqdm
        except ImportError:
            yield from self.with_lines(batches, total, label)
            return
        with tqdm(
            total=total, desc=label, unit="rec", disable=self.quiet or not total, file=self.stderr
        ) as bar:
            for size in batches:
                bar.update(size)
                yield size

    def with_lines(self, batches: Iterator[int], total: int, label: str) -> Iterator[int]:
        done, said_at = 0, time.monotonic()
        for size in batches:
            done += size
            if time.monotonic() - said_at > 5:
                self.say(f"{label}: {done} of {total}")
                said_at = time.monotonic()
            yield size

    def follow(self, indexes: list[Declaration], using: str, poll_s: float, stats_s: float) -> None:
        """Embed what deferred writes leave, until the process is told to stop."""
        counted_at, uncounted = time.monotonic(), set()
        while True:
            worked = {index for index in indexes if self.follow_once(index, using)}
            uncounted |= worked
            if time.monotonic() - counted_at > stats_s:
                for index in uncounted:
                    stats.refresh(index, using)
                counted_at, uncounted = time.monotonic(), set()
            if not worked:
                time.sleep(poll_s)

    def follow_once(self, index: Declaration, using: str) -> bool:
        """Whether there was something to embed. Errors are told, not raised: the records wait."""
        try:
            return sum(queue.work_off(index, using, self.batch_size)) > 0
        except SearchError as error:
            self.stderr.write(f"{index.label}: {error} Trying again.")
        except (DatabaseError, InterfaceError) as error:
            reason = str(error).strip().replace("\n", " ")
            self.stderr.write(f"{index.label}: the database did not do it ({reason}). Trying again.")
            connections[using].close()
        return False

    def say(self, text: str) -> None:
        if not self.quiet:
            self.stdout.write(text)
