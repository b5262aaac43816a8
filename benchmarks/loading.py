"""Fills tables with generated rows, fast and alike: vector indexes are built over the whole table last."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from benchmarks.synthetic import Corpus, Row
from benchmarks.texts import rendered

Item = TypeVar("Item")
BATCH = 1_000


def fill_docs(corpus: Corpus) -> None:
    """The table that lockstep searches, written through its own bulk load, with statistics for ranking."""
    from django.core.management import call_command

    from benchmarks.project.catalogue.models import Doc

    with indexed_afterwards():
        Doc.search.load(progress((Doc(**fields(row)) for row in corpus), corpus.documents, "documents"))
    call_command("lockstep_stats", stdout=sys.stderr)


def fill_naive(corpus: Corpus) -> None:
    """The usual table: vectors and search vector in the record."""
    from benchmarks import naive
    from benchmarks.project.catalogue.models import NaiveDoc

    with indexed_afterwards():
        for rows in batches(progress(corpus, corpus.documents, "naive documents"), BATCH):
            NaiveDoc.objects.bulk_create(
                NaiveDoc(**fields(row), embedding=corpus.language.embed(rendered(row.title, row.text)))
                for row in rows
            )
        naive.fill_search_vector()


def fields(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "title": row.title,
        "text": row.text,
        "part_number": [row.part_number],
        "ean": [row.ean],
        "brand": row.brand,
    }


@contextmanager
def indexed_afterwards() -> Iterator[None]:
    """Drop every HNSW index and build it again at the end: faster, and graphs of one kind for all arms."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || quote_ident(indexname), indexdef FROM pg_indexes"
            " WHERE indexdef LIKE '%USING hnsw%' AND schemaname = current_schema()"
        )
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f"DROP INDEX {name}")
        yield
        # one process: parallel builds need more shared memory than a container has by default
        cursor.execute("SET max_parallel_maintenance_workers = 0")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in found:
            cursor.execute(definition)
        cursor.execute("RESET max_parallel_maintenance_workers")
        cursor.execute("RESET maintenance_work_mem")


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def progress(items: Iterable[Item], count: int, noun: str) -> Iterator[Item]:
    """A line on standard error for each tenth."""
    tenth = max(count // 10, 1)
    for number, item in enumerate(items, 1):
        yield item
        if number % tenth == 0:
            say(f"  {number:,} of {count:,} {noun}")


def say(line: str) -> None:
    """Progress goes to standard error: standard output is the table."""
    print(line, file=sys.stderr, flush=True)


def embeddings(corpus: Corpus) -> Any:
    """All document vectors as one float32 matrix, in the order of the corpus."""
    import numpy as np

    return np.array([corpus.language.embed(rendered(row.title, row.text)) for row in corpus])
