"""Is a vector of other text ever served, whatever writes and whoever dies?

Writers change the rows of a strict and of a deferred model by ``save()``, ``bulk_update()``, ``update()``, raw SQL
and COPY; they and the follower of the deferred model are killed (SIGKILL) at random and replaced. A reader asks
the dense leg all the while. It compares every vector that was served with that of the text which the record has in
the same snapshot, and counts those that differ: stale rows. At the end, with the queue empty, it looks at all rows.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import project
from benchmarks.exceptions import BenchmarkError
from benchmarks.report import Bar, Column, Report
from benchmarks.torture import ROWS, words

SECONDS, QUICK_SECONDS = 60.0, 15.0
WRITERS = 3
TOP_N = 20
DRAINED_WITHIN_S = 60
DIMENSIONS = 64
TOLERANCE = 2e-3
"""Of a cosine distance between vectors of half floats."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="N", help=f"default: {SECONDS:g}")
    parser.add_argument("--writers", type=int, default=WRITERS, metavar="N", help=f"default: {WRITERS}")
    parser.add_argument("--seed", type=int, default=1, help="of what is written and who is killed when")


def run(options: argparse.Namespace) -> Report:
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    project.start({"BACKEND": "benchmarks.torture.Dawdling", "OPTIONS": {"dimensions": DIMENSIONS}})
    from benchmarks.project.catalogue.models import DeferredDoc, Doc

    models = {"strict": Doc, "deferred": DeferredDoc}
    chance = random.Random(options.seed)
    for model in models.values():
        model.objects.bulk_create(
            model(key=f"k{i}", title=words(chance), text=words(chance)) for i in range(ROWS)
        )
    arms = {name: {"reads": 0, "served": 0, "stale_rows": 0} for name in models}
    with torture(options.seed, seconds, options.writers) as warden:
        while warden.poll() is None and not readable(warden):
            for name, model in models.items():
                served, stale = read(model, words(chance))
                arms[name]["reads"] += 1
                arms[name]["served"] += served
                arms[name]["stale_rows"] += stale
        line = warden.stdout.readline()
        if not line:
            raise BenchmarkError("the writers came to an end of their own; their message is above")
        told = json.loads(line)
        drain(DeferredDoc)
    left = {name: out_of_step(model) for name, model in models.items()}
    return report(seconds, options, arms, told["kills"], Counter(told["journal"]), left)


@contextmanager
def torture(seed: int, seconds: float, writers: int) -> Iterator[Any]:
    """Writers and the follower, in processes of their own until the block ends."""
    with tempfile.TemporaryDirectory(prefix="lockstep-freshness-") as folder:
        command = [sys.executable, "-m", "benchmarks.torture", str(seed), str(seconds), str(writers)]
        with subprocess.Popen(
            [*command, str(Path(folder) / "journal")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as warden:
            assert warden.stdin is not None
            try:
                yield warden
                warden.stdin.close()
                warden.wait(timeout=30)
            finally:
                warden.terminate()


def readable(process: Any) -> bool:
    import select

    return bool(select.select([process.stdout], [], [], 0)[0])


def read(model: Any, query: str) -> tuple[int, int]:
    """Ask the dense leg in a snapshot. Returns: how many rows were served, and how many of them stale."""
    from django.db import connection, transaction

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        hits = list(model.objects.hybrid_search(query, legs=["dense"], top_n=TOP_N))
        if hits and hits[0].search_detail["degraded"]:
            raise BenchmarkError(f"the dense leg did not run: {hits[0].search_detail['reasons']}")
        texts = dict(model.objects.filter(pk__in=[hit.pk for hit in hits]).values_list("pk", "search_digest"))
    if any(texts.get(hit.pk) != hit.search_digest for hit in hits):
        raise BenchmarkError("the reader's snapshot is none")
    asked = vectors([query])[0]
    made = vectors([rendered(hit) for hit in hits])
    distances = [1 - sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in made]
    stale = [
        hit
        for hit, distance in zip(hits, distances, strict=True)
        if abs(hit.search_detail["legs"]["dense"]["distance"] - distance) > TOLERANCE
    ]
    return len(hits), len(stale)


def rendered(row: Any) -> str:
    """What the declaration says is embedded: short texts, of one chunk."""
    return "\n\n".join(part for part in (row.title, row.text) if part.strip())


def vectors(texts: Sequence[str]) -> list[list[float]]:
    """What the model makes of texts, by an instance of our own, rounded as a halfvec is and of length 1."""
    from lockstep.search.embedders.hashing import Hashing

    found = []
    for vector in Hashing(dimensions=DIMENSIONS).embed_documents(list(texts)):
        half = struct.unpack(f"<{DIMENSIONS}e", struct.pack(f"<{DIMENSIONS}e", *vector))
        length = math.sqrt(sum(part * part for part in half))
        found.append([part / length for part in half])
    return found


def drain(model: Any) -> None:
    """Wait until the follower has embedded what the writers left."""
    end = time.monotonic() + DRAINED_WITHIN_S
    while model.search.siblings.pending._default_manager.exists():
        if time.monotonic() > end:
            raise BenchmarkError(f"the follower was not done after {DRAINED_WITHIN_S} s")
        time.sleep(0.05)


def out_of_step(model: Any) -> int:
    """Rows whose only vector that can be found is not that of their text."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT record_id, embedding::text FROM {model.search.space('default').table} WHERE digest IS NOT NULL"
        )
        kept: dict[Any, list[list[float]]] = {}
        for pk, text in cursor.fetchall():
            kept.setdefault(pk, []).append([float(part) for part in text[1:-1].split(",")])
    rows = list(model.objects.all())
    wanted = vectors([rendered(row) for row in rows])
    return sum(
        not is_same(kept.pop(row.pk, []), vector) for row, vector in zip(rows, wanted, strict=True)
    ) + len(kept)


def is_same(kept: list[list[float]], wanted: list[float]) -> bool:
    return len(kept) == 1 and max(abs(a - b) for a, b in zip(kept[0], wanted, strict=True)) < TOLERANCE


def report(
    seconds: float,
    options: argparse.Namespace,
    arms: dict[str, dict[str, Any]],
    kills: dict[str, int],
    journal: Counter[str],
    left: dict[str, int],
) -> Report:
    ways = {way: journal[way] for way in ("save", "bulk_update", "update", "raw", "copy")}
    stale, out = sum(arm["stale_rows"] for arm in arms.values()), sum(left.values())
    conflicts = sum(count for what, count in journal.items() if what.startswith("conflict"))
    for name, arm in arms.items():
        arm["out_of_step"] = left[name]
    return Report(
        benchmark="freshness",
        columns=[
            Column("reads", "reads", "{:,}"),
            Column("served", "rows served", "{:,}"),
            Column("stale_rows", "stale", "{:,}"),
            Column("out_of_step", "out of step at the end", "{:,}"),
        ],
        arms=arms,
        recipe={
            "seconds": seconds,
            "writers": options.writers,
            "rows": ROWS,
            "page": TOP_N,
            "seed": options.seed,
        },
        bars=[
            Bar("stale rows served", stale, at_most=0),
            Bar("rows out of step at the end", out, at_most=0),
            Bar("writes of strict text without its vector that passed", journal["passed"], at_most=0),
            Bar("processes killed", sum(kills.values()), at_least=1),
        ],
        notes=[
            f"writes: {', '.join(f'{way} {count:,}' for way, count in ways.items())}; {conflicts:,} lost a conflict",
            f"killed: {kills['writer']} writers, {kills['follower']} followers; {journal['refused']:,} writes refused",
        ],
        extra={
            "writes": sum(ways.values()),
            "writes_by_way": ways,
            "kills": sum(kills.values()),
            "kills_by_role": kills,
            "reads": sum(arm["reads"] for arm in arms.values()),
            "served": sum(arm["served"] for arm in arms.values()),
            "stale_rows": stale,
            "out_of_step": out,
            "refused": journal["refused"],
            "not_refused": journal["passed"],
            "conflicts": conflicts,
        },
    )
