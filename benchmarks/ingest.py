"""Rows a second of each way to write, with an embedding API that takes 50 ms a call.

The API is a local HTTP server in a process of its own that speaks ``/v1/embeddings``. Every way writes the
same generated documents of 66 words into an empty table; rounds interleave the ways. A row counts once it
is embedded and committed: the deferred way runs until its two workers have emptied the queue. The streaming
load is also run over one and four times as many rows, to see that its memory does not grow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from benchmarks import project
from benchmarks.embedding_api import serving
from benchmarks.exceptions import BenchmarkError
from benchmarks.loading import fields
from benchmarks.metrics import percentile
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import rotated
from benchmarks.synthetic import Corpus

DELAY_MS = 50
DOCUMENTS, ROUNDS = 2_000, 3
QUICK_DOCUMENTS, QUICK_ROUNDS = 200, 1
LOOP_ROWS = 100
"""At most so many rows of the save loop a round: at 50 ms a call its rate is known soon."""
WORKERS = 2
OPENAI = "lockstep.search.embedders.openai.OpenAICompatible"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--docs", type=int, metavar="N", help=f"rows a way and round (default: {DOCUMENTS:,})"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument(
        "--delay-ms", type=float, default=DELAY_MS, help="answer time of the API (default: 50)"
    )


def run(options: argparse.Namespace) -> Report:
    documents = options.docs or (QUICK_DOCUMENTS if options.quick else DOCUMENTS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    with serving(delay_ms=options.delay_ms) as url:
        project.start({"BACKEND": OPENAI, "OPTIONS": {"base_url": url, "model": "local", "dimensions": 384}})
        with workers():
            rates = measure(WAYS, Corpus(documents), rounds)
        memory = {rows: peak_memory_mib(rows) for rows in (documents, 4 * documents)}
    return report(documents, rounds, options.delay_ms, rates, memory)


def measure(ways: dict[str, Way], corpus: Corpus, rounds: int) -> dict[str, list[float]]:
    """Rows a second of each way, a figure a round; the way that goes first rotates."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in rotated(list(ways), number):
            empty()
            started = time.perf_counter()
            rows = ways[name](corpus)
            rates[name].append(rows / (time.perf_counter() - started))
    return rates


Way = Callable[[Corpus], int]
"""Writes rows of a corpus; returns how many."""


def save_loop(corpus: Corpus) -> int:
    from benchmarks.project.catalogue.models import Doc

    rows = loop_rows(corpus.documents)
    for doc in islice(unsaved(Doc, corpus), rows):
        doc.save()
    return rows


def bulk_create(corpus: Corpus) -> int:
    from benchmarks.project.catalogue.models import Doc

    return len(Doc.objects.bulk_create(unsaved(Doc, corpus)))


def load(corpus: Corpus) -> int:
    from benchmarks.project.catalogue.models import Doc

    return Doc.search.load(unsaved(Doc, corpus))


def deferred(corpus: Corpus) -> int:
    """Text commits at once; the workers embed what the triggers queued, until nothing waits."""
    from benchmarks.project.catalogue.models import DeferredDoc

    rows = len(DeferredDoc.objects.bulk_create(unsaved(DeferredDoc, corpus)))
    wait_until(lambda: not DeferredDoc.search.siblings.pending._default_manager.exists())
    embedded = DeferredDoc.search.siblings.manifest._default_manager.count()
    if embedded != rows:
        raise BenchmarkError(f"{embedded} of {rows} deferred rows were embedded")
    return rows


@contextmanager
def workers() -> Iterator[None]:
    """``lockstep_reembed --follow`` in processes of their own, started and connected."""
    from benchmarks.project.catalogue.models import DeferredDoc

    command = [sys.executable, "-m", "django", "lockstep_reembed", DeferredDoc.search.label]
    connected = connections() + WORKERS
    started = [
        subprocess.Popen([*command, "--follow", "--poll-s=0.1", "--verbosity=0"]) for _ in range(WORKERS)
    ]
    try:
        wait_until(lambda: connections() >= connected or any(worker.poll() is not None for worker in started))
        if any(worker.poll() is not None for worker in started):
            raise BenchmarkError("a lockstep_reembed worker failed; its message is above")
        yield
    finally:
        for worker in started:
            worker.terminate()
            worker.wait()


def connections() -> int:
    """Connections to the scratch database, ours among them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def wait_until(done: Callable[[], bool], *, timeout_s: float = 600) -> None:
    until = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > until:
            raise BenchmarkError(f"the workers were not done after {timeout_s:.0f} s")
        time.sleep(0.02)


WAYS: dict[str, Way] = {
    "save_loop": save_loop,
    "bulk_create": bulk_create,
    "load": load,
    "deferred": deferred,
}


def loop_rows(documents: int) -> int:
    return min(LOOP_ROWS, max(documents // 10, 1))


def unsaved(model: Any, corpus: Corpus) -> Iterator[Any]:
    return (model(**fields(row)) for row in corpus)


def empty() -> None:
    """Empty tables and a cold memory of vectors: no way may profit from the one before."""
    from django.db import connection

    from benchmarks.project.catalogue.models import DeferredDoc, Doc

    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {Doc._meta.db_table}, {DeferredDoc._meta.db_table} CASCADE")


def peak_memory_mib(rows: int) -> float:
    """Largest resident memory of a process that streams ``rows`` into the empty table."""
    empty()
    command = [sys.executable, "-m", "benchmarks.streaming", str(rows)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise BenchmarkError(f"the streaming load failed: {asked.stderr.strip()[-500:]}")
    peak: float = json.loads(asked.stdout)["peak_mib"]
    return peak


def report(
    documents: int, rounds: int, delay_ms: float, rates: dict[str, list[float]], memory: dict[int, float]
) -> Report:
    arms = {
        name: {"rows_per_s": percentile(values, 50), "best_rows_per_s": max(values)}
        for name, values in rates.items()
    }
    bulk = arms["bulk_create"]["rows_per_s"] / arms["save_loop"]["rows_per_s"]
    few, many = memory.values()
    return Report(
        benchmark="ingest",
        columns=[Column("rows_per_s", "median rows/s"), Column("best_rows_per_s", "best rows/s")],
        arms=arms,
        peer="save_loop",
        peer_key="rows_per_s",
        recipe={
            "documents": documents,
            "loop_rows": loop_rows(documents),
            "rounds": rounds,
            "api_delay_ms": delay_ms,
            "workers": WORKERS,
        },
        bars=[
            Bar("bulk_create / save_loop, rows a second", bulk, at_least=10),
            Bar("peak memory of load, four times the rows / once", many / few, at_most=1.1),
        ],
        notes=[f"peak memory of load: {', '.join(f'{n:,} rows {mib:.0f} MiB' for n, mib in memory.items())}"],
        extra={
            "ratios": {"bulk_create_to_save_loop": bulk, "memory_4n_to_n": many / few},
            "memory": [{"rows": rows, "peak_mib": mib} for rows, mib in memory.items()],
        },
    )
