"""``python -m benchmarks.torture SEED SECONDS WRITERS``: writers that are killed at random, and a follower.

Forks each of them from this process, which never opens a connection, so that a killed one is replaced within
milliseconds. Prints what happened as JSON, then keeps the follower alive until standard input closes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lockstep.search.embedders.hashing import Hashing

ROWS = 60
"""Few enough that writers meet."""
PAUSE_S = (0.05, 0.4)
"""Between two kills."""
FOLLOWER_EVERY = 4
"""So many kills, one of them the follower's."""

WORDS = (
    "kettle",
    "torch",
    "lamp",
    "spring",
    "valve",
    "cable",
    "filter",
    "brush",
    "motor",
    "fuse",
    "panel",
    "seal",
)


class Dawdling(Hashing):
    """Takes a moment for each call, as a model does, so that a text can change meanwhile."""

    def embed_documents(self, texts: Any, *, timeout_s: float | None = None) -> Any:
        found = super().embed_documents(texts, timeout_s=timeout_s)
        time.sleep(random.uniform(0, 0.03))
        return found


class Journal:
    """A letter a line of what was committed or refused, written by many processes, the killed ones included."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, what: str) -> None:
        os.write(self.descriptor, f"{what}\n".encode())

    def count(self) -> Counter[str]:
        return Counter(self.file.read_text().splitlines())


def words(chance: random.Random) -> str:
    return " ".join([*chance.choices(WORDS, k=6), f"n{chance.randrange(10**9)}"])


class Writer:
    """Edits the rows of one model in every way that there is."""

    def __init__(self, model: Any, chance: random.Random) -> None:
        self.model, self.chance = model, chance
        self.table = model._meta.db_table
        self.strict = model.search.mode == "strict"
        self.ways: list[Callable[[], Any]] = [self.save, self.bulk_update, self.update, self.raw, self.copy]

    def some(self, count: int = 1) -> list[Any]:
        pks = list(self.model.objects.order_by("pk").values_list("pk", flat=True))
        return list(self.model.objects.filter(pk__in=self.chance.sample(pks, min(count, len(pks)))))

    def in_step(self) -> Any:
        return self.model.search.in_step() if self.strict else nullcontext()

    def save(self) -> None:
        for row in self.some():
            setattr(row, self.chance.choice(["title", "text"]), words(self.chance))
            row.save(force_update=True)

    def bulk_update(self) -> None:
        rows = self.some(6)
        for row in rows:
            row.text = words(self.chance)
        self.model.objects.bulk_update(rows, ["text"])

    def update(self) -> None:
        from django.db.models import F, Value
        from django.db.models.functions import Concat

        pks = [row.pk for row in self.some(4)]
        self.model.objects.filter(pk__in=pks).update(
            title=Concat(F("key"), Value(f" {words(self.chance)}")), text=words(self.chance)
        )

    def raw(self) -> None:
        from django.db import connection, transaction

        with transaction.atomic(), self.in_step(), connection.cursor() as cursor:
            for row in sorted(self.some(3), key=lambda row: row.pk):
                cursor.execute(
                    f"UPDATE {self.table} SET text = %s WHERE id = %s", [words(self.chance), row.pk]
                )

    def copy(self) -> None:
        """A few rows go, as many come by COPY."""
        from django.db import connection, transaction

        with transaction.atomic(), self.in_step(), connection.cursor() as cursor:
            old = [row.pk for row in self.some(3)]
            cursor.execute(f"DELETE FROM {self.table} WHERE id = ANY(%s)", [old])
            gone = cursor.rowcount
            copy = f"COPY {self.table} (key, title, text, part_number, ean, brand) FROM STDIN"
            with cursor.copy(copy) as stream:
                for _ in range(gone):
                    key = f"{self.chance.randrange(10**15)}"
                    stream.write_row((key, words(self.chance), words(self.chance), "{}", "{}", ""))

    def unembedded(self) -> None:
        """What strict mode has to refuse."""
        from django.db import connection

        row = self.some()[0]
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {self.table} SET text = %s WHERE id = %s", [words(self.chance), row.pk])
            if cursor.rowcount == 0:
                raise LookupError  # somebody was faster and deleted it


def write(seed: int, until: float, journal: Journal) -> None:
    from django.db import DatabaseError, IntegrityError

    from benchmarks.project.catalogue.models import DeferredDoc, Doc

    chance = random.Random(seed)
    writers = [Writer(model, chance) for model in (Doc, DeferredDoc)]
    while time.monotonic() < until:
        writer = chance.choice(writers)
        if writer.strict and chance.random() < 0.1:
            try:
                writer.unembedded()
                journal.note("passed")
            except IntegrityError:
                journal.note("refused")
            except (LookupError, DatabaseError):
                journal.note("conflict")
            continue
        way = chance.choice(writer.ways)
        try:
            way()
            journal.note(way.__name__)
        except DatabaseError as error:  # a deadlock, or the row is gone
            journal.note(f"conflict: {type(error).__name__}")


def follow() -> None:
    from django.core.management import call_command

    from benchmarks.project.catalogue.models import DeferredDoc

    label = DeferredDoc.search.label
    call_command("lockstep_reembed", label, "--follow", "--poll-s=0.02", "--batch-size=8", verbosity=0)


@contextmanager
def killed_at_the_end(children: dict[int, Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def fork(call: Callable[..., None], *arguments: Any) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        call(*arguments)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(seed: int, seconds: float, writers: int, file: Path) -> None:
    import django

    django.setup()
    chance, journal = random.Random(seed), Journal(file)
    until = time.monotonic() + seconds
    kills = {"writer": 0, "follower": 0}
    children: dict[int, str] = {}

    def start(role: str) -> None:
        number = chance.randrange(10**9)
        pid = fork(follow) if role == "follower" else fork(write, number, until, journal)
        children[pid] = role

    with killed_at_the_end(children):
        for role in ["follower", *["writer"] * writers]:
            start(role)
        while time.monotonic() + PAUSE_S[1] < until:
            time.sleep(chance.uniform(*PAUSE_S))
            role = "follower" if sum(kills.values()) % FOLLOWER_EVERY == 1 else "writer"
            pid = chance.choice([pid for pid, own in children.items() if own == role])
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            del children[pid]
            if os.WIFEXITED(status):
                raise SystemExit(f"a {role} ended by itself with status {os.WEXITSTATUS(status)}")
            kills[role] += 1
            start(role)
        for pid in [pid for pid, role in children.items() if role == "writer"]:
            _, status = os.waitpid(pid, 0)
            del children[pid]
            if status:
                raise SystemExit(f"a writer ended with status {status}")
        print(json.dumps({"kills": kills, "journal": journal.count()}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
