"""What shows after many runs only: leaks, and sweeps that read everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection, transaction

from lockstep.workflows import start
from lockstep.workflows.models import Run
from lockstep.workflows.sweeping import due
from tests.processes import run as run_process
from tests.workflows import workers

RUNS = """
    INSERT INTO lockstep_workflows_run (id, workflow, version, thread, status, reason, node, user_id, user_key, feature,
        cohort, tenant, input_digest, epoch, owner, cancel_requested, crash_count, transitions, head, rolls_back, at,
        expires_at, wake_at)
    SELECT gen_random_uuid(), 'linear', '1', n::text, CASE WHEN n <= 10000 THEN 'waiting' ELSE 'succeeded' END, '', '',
        '', '', '', '', '', '', 1, '', false, 0, 3, '', '[]', now() - n * interval '1 second',
        now() + interval '20 days', CASE WHEN n <= 10000 AND n % 2 = 0 THEN now() + n * interval '1 minute' END
    FROM generate_series(1, 30000) AS n
"""
READ = (
    "SELECT seq_scan, seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
    " WHERE relname = 'lockstep_workflows_run'"
)


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.slow
def test_neither_connections_nor_threads_stay_behind(tmp_path: Path) -> None:
    names = (
        "fan_out", "nested", "asynchronous", "linear", "reading_on_the_way", "reading_beside", "reading_in_tasks",
    )  # fmt: skip
    runs = [str(start(names[number % len(names)], {}).pk) for number in range(105)]
    said = tmp_path / "said.txt"
    environment = workers.environment(tmp_path) | {"PGAPPNAME": f"endurance {tmp_path.name}"[:60]}
    assert run_process(
        workers.advance_and_count, runs, 20, environment=environment, output=said, timeout_s=120
    ) == 0, said.read_text()  # fmt: skip
    counted = [json.loads(line) for line in said.read_text().splitlines() if line.startswith("[")]
    assert len(counted) == 5
    threads, connections = zip(*counted, strict=True)
    assert max(threads) - threads[0] <= 1, threads  # a pool may open its second connection late
    assert max(connections) - connections[0] <= 1, connections
    assert max(connections) <= 4


@pytest.mark.django_db
def test_a_sweep_reads_what_is_due_and_not_the_ten_thousand_that_wait() -> None:
    with connection.cursor() as cursor:
        cursor.execute(RUNS)
        cursor.execute("ANALYZE lockstep_workflows_run")
        Run.objects.filter(thread__in=["2", "4"]).update(wake_at="2026-01-01T00:00:00Z")
        with transaction.atomic():
            cursor.execute(READ)
            before = cursor.fetchone()
            found = due()
            cursor.execute(READ)
            after = cursor.fetchone()
    late = {str(run.pk): run.status for run in Run.objects.filter(thread__in=["2", "4"])}
    assert set(late.values()) == {"queued"}
    assert {run for run, _ in found} == set(late)
    assert after[0] - before[0] == 0, "the table of runs was read from one end to the other"
    assert after[1] - before[1] < 50
