"""What does it cost that expired rows are hidden by the database?

Payloads of 30 days stand in the table that expires and, row for row, in a bare copy: the same partitions and indexes,
no row security. Each read asks both, in turn, as the application's role. Then a day expires and is purged.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import psycopg

from benchmarks import project
from benchmarks.database import scratch_url
from benchmarks.exceptions import BenchmarkError
from benchmarks.metrics import percentile
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import interleave

ROWS, QUICK_ROWS = 300_000, 30_000
DAYS = 30
ITEMS = 200
MOST = 1.10
TABLE, BARE = "lockstep_privacy_payload", "bare_payload"

READS = {
    "by_call": "SELECT request FROM {table} WHERE call = (md5('%(at)s'))::uuid",
    "by_call_and_day": "SELECT request FROM {table} WHERE call = (md5('%(at)s'))::uuid"
    " AND expires_at = '%(expires_at)s'",
    "by_person": "SELECT call, request, response FROM {table} WHERE subject = 'p-%(at)s'",
    "recent": "SELECT call, at, request FROM {table} WHERE feature = 'support.answer'"
    " AND at > now() - interval '2 days' ORDER BY at DESC LIMIT 1000",
    "count": "SELECT count(*), sum(length(request)) FROM {table}",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, metavar="N", help=f"default: {ROWS}")


def run(options: argparse.Namespace) -> Report:
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    project.start(project.HASHING)
    with psycopg.connect(scratch_url(), autocommit=True) as link:
        if link.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (True,):
            raise BenchmarkError(
                "row security does not bind this role: use an ordinary one, as bin/bench does"
            )
        fill(link, rows)
        expires = link.execute(
            f"SELECT p.expires_at::text FROM generate_series(0, {ITEMS - 1}) AS n"
            f" JOIN {TABLE} AS p ON p.call = md5(n::text)::uuid ORDER BY n"
        ).fetchall()
        arms: dict[str, dict[str, Any]] = {}
        for name, text in READS.items():
            items = list(range(ITEMS if name.startswith("by") else ITEMS // 5))
            timed = interleave(
                {
                    arm: ask(link, text.replace("{table}", table), expires)
                    for arm, table in (("bare", BARE), ("guarded", TABLE))
                },
                items,
                warmup=10,
            )
            if timed["bare"].results != timed["guarded"].results:
                raise BenchmarkError(f"{name}: the two tables do not answer alike")
            bare, guarded = (percentile(timed[arm].times_ms, 50) for arm in ("bare", "guarded"))
            arms[name] = {"bare_p50_ms": bare, "guarded_p50_ms": guarded, "ratio": guarded / bare}
        arms["purge_of_a_day"] = {"guarded_p50_ms": purge(link)}
    return Report(
        "retention",
        [Column("bare_p50_ms", "bare p50 ms", "{:.3f}"), Column("guarded_p50_ms", "guarded p50 ms", "{:.3f}"),
         Column("ratio", "x bare", "{:.3f}")],
        arms,
        recipe={"rows": rows, "days": DAYS},
        bars=[Bar(f"{name}: guarded / bare", arms[name]["ratio"], at_most=MOST) for name in ("recent", "count")],
    )  # fmt: skip


def ask(link: psycopg.Connection[Any], text: str, expires: list[Any]) -> Any:
    return lambda at: link.execute(
        text.replace("%(at)s", str(at)).replace("%(expires_at)s", expires[at][0]).encode()
    ).fetchall()


def fill(link: psycopg.Connection[Any], rows: int) -> None:
    """Calls of the last 30 days, kept for 30; the oldest expire today."""
    link.execute(
        "SELECT lockstep_core_partition_v1(%s, now() + interval '1 minute' + days * interval '24 hours')"
        " FROM generate_series(0, 30) AS days",
        [TABLE],
    )
    link.execute(
        f"INSERT INTO {TABLE} (call, at, expires_at, feature, subject, policy, detectors, request, response, entities,"
        " encryption) SELECT md5(n::text)::uuid, now() - age, now() + interval '30 days' - age,"
        " (ARRAY['support.answer', 'shop.describe'])[1 + n %% 2], 'p-' || n %% (%s / 20), 'redact', '',"
        " repeat('words of the question ', 20), repeat('words of the answer ', 40), '{}', ''"
        " FROM generate_series(0, %s - 1) AS n,"
        " LATERAL (SELECT (n * 7919 %% %s)::float8 / %s * interval '29.9 days' AS age)",
        [rows, rows, rows, rows],
    )
    link.execute(f"CREATE TABLE {BARE} (LIKE {TABLE} INCLUDING ALL) PARTITION BY RANGE (expires_at)")
    for name, since, until in link.execute(
        "SELECT name, since, until FROM lockstep_core_partitions_v1(%s)", [TABLE]
    ).fetchall():
        link.execute(
            f"CREATE TABLE bare_{name} PARTITION OF {BARE} FOR VALUES FROM ('{since}') TO ('{until}')"
        )
    link.execute(f"INSERT INTO {BARE} SELECT * FROM {TABLE}")
    link.execute("VACUUM ANALYZE")


def purge(link: psycopg.Connection[Any]) -> float:
    """Let the fullest day expire, by giving its partition the bounds of yesterday, and drop it. Milliseconds."""
    name = link.execute(
        "SELECT name FROM lockstep_core_partitions_v1(%s) ORDER BY pg_relation_size(relation) DESC LIMIT 1",
        [TABLE],
    ).fetchone()[0]  # type: ignore[index]
    link.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {name}")
    link.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER")
    link.execute(f"UPDATE {name} SET expires_at = date_trunc('day', now(), 'UTC') - interval '12 hours'")
    link.execute("SELECT lockstep_core_guard_v1(%s, %s::regclass)", [TABLE, name])
    link.execute(f"VACUUM {name}")
    day = "date_trunc('day', now(), 'UTC')"
    bounds = link.execute(f"SELECT ({day} - interval '24 hours')::text, ({day})::text").fetchone()
    link.execute(
        f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
    )  # type: ignore[index]
    start = time.perf_counter()
    done = link.execute("SELECT lockstep_core_purge_v1(%s, 500)", [TABLE]).fetchone()
    elapsed = (time.perf_counter() - start) * 1000
    if done is None or not done[0]["rows"]:
        raise BenchmarkError("nothing was purged")
    return elapsed
