"""How long writers wait while a big table gets its index: ``python -m tests.migrations.enrolment [rows]``.

Needs ``DATABASE_URL`` and ``DJANGO_SETTINGS_MODULE=tests.settings``. Makes a database of its own and drops it.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import psycopg

MODES = {"strict": '{"title": "A", "body": "B"}', "deferred": '{"title": "A", "body": "B"}, mode="deferred"'}


@contextmanager
def writers(database: str, rows: int) -> Iterator[list[float]]:
    """Two connections that update a column that is not indexed, over and over. Gives their waits in seconds."""
    waits: list[float] = []
    stop = threading.Event()

    def write(turn: int) -> None:
        with psycopg.connect(database, autocommit=True) as link:
            while not stop.is_set():
                turn += 2
                begun = time.perf_counter()
                link.execute("UPDATE shop_article SET lang = 'xx' WHERE id = %s", (turn * 7919 % rows + 1,))
                waits.append(time.perf_counter() - begun)
                time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def main(rows: int) -> None:
    from tests.migrations.project import Project, fresh_database
    from tests.migrations.texts import INDEXED, PLAIN

    words = "SELECT 'title ' || i, (SELECT string_agg('word' || (i * j % 9973), ' ') FROM generate_series(1, 60) j), 'en'"
    with tempfile.TemporaryDirectory() as folder, fresh_database("lockstep_enrolment") as database:
        project = Project(Path(folder) / "project", database)
        project.models(PLAIN)
        project.commands(("makemigrations", "-v0"), ("migrate", "-v0"))
        project.sql(f"INSERT INTO shop_article (title, body, lang) {words} FROM generate_series(1, {rows}) i")
        project.sql("ANALYZE shop_article")
        project.models(INDEXED.replace('{"title": "A"}', MODES["strict"]))
        project.manage("makemigrations", "-v0")
        print(f"{rows} rows of 62 words; two writers beside. Longest and median wait of a writer:")
        with writers(database, rows) as waits:
            for label, command in (
                ("nothing", ("check",)),
                ("migrate", ("migrate", "-v0")),
                ("lockstep_reembed", ("lockstep_reembed", "-v0")),
                ("lockstep_reembed, nothing left to do", ("lockstep_reembed", "-v0")),
            ):
                waits.clear()
                begun = time.perf_counter()
                project.manage(*command)
                seconds = time.perf_counter() - begun
                found = sorted(waits)
                print(
                    f"  {label}: took {seconds:.1f} s, {1000 * found[-1]:.0f} ms, {1000 * found[len(found) // 2]:.1f} ms"
                )
        print(
            project.sql("SELECT conname, convalidated FROM pg_constraint WHERE conname LIKE 'ls_%_embedded'")
        )


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
