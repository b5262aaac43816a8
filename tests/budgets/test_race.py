"""Promise 6, in processes outside any test runner: however many race, settled plus reserved stays within the cap."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from lockstep.budgets.models import Alert, Budget, BudgetPeriod, Estimate, Hold
from lockstep.core.models import Notice
from lockstep.llm import ledger
from lockstep.llm.models import Call
from tests.budgets import workers
from tests.budgets.calls import came_back
from tests.budgets.test_caps import counters, drift, sql, tokens
from tests.processes import run, start
from tests.search.workers import environment, until

pytestmark = pytest.mark.usefixtures("transactional_db")
PROCESSES, THREADS, EACH = 4, 4, 40

# From the ledger alone, with nothing of the counters: what is spent, and what calls under way may still spend.
OVER = """
    SELECT b.id, b.cap, sum(CASE c.state WHEN 'reserved' THEN c.bound ELSE c.actual END)
    FROM lockstep_budgets_budget AS b
    CROSS JOIN LATERAL lockstep_budgets_calls_v1(b,
        (lockstep_budgets_span_v1(b.period, b.time_zone, clock_timestamp())).starts) AS c
    GROUP BY b.id, b.cap, c.who
    HAVING sum(CASE c.state WHEN 'reserved' THEN c.bound ELSE c.actual END) > b.cap
"""


def test_no_sample_of_a_race_is_over_any_cap(tmp_path: Path) -> None:
    tokens(60_000, feature="", period="month"), tokens(40_000), tokens(9_000, feature="", per="cohort")
    tokens(12_000, per="tenant"), tokens(8_000, feature="", per="user", period="month")
    racing = [
        start(workers.race, seed, THREADS, EACH, environment=environment(), output=tmp_path / f"{seed}.txt")
        for seed in range(PROCESSES)
    ]
    samples = 0
    try:
        while any(process.is_alive() for process in racing):
            assert sql(OVER) == []
            assert not BudgetPeriod.objects.filter(spent__lt=0).exists()
            assert drift() == []
            samples += 1
            time.sleep(0.05)
    finally:
        for process in racing:
            process.join()  # the database is emptied next
    output = "".join(file.read_text() for file in tmp_path.iterdir())
    assert [process.exitcode for process in racing] == [0] * PROCESSES, output
    assert samples > 5
    assert Call.objects.filter(state="refused").exists()

    sql("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second' WHERE state = 'reserved'")
    ledger.lapse()
    counters()
    assert drift() == []
    assert set(BudgetPeriod.objects.values_list("reserved", flat=True)) == {0}
    assert Alert.objects.filter(level="soft").exists()
    for level in ("soft", "hard"):
        alerts = Alert.objects.filter(level=level)
        assert alerts.count() == alerts.values("period").distinct().count()
        assert Notice.objects.filter(topic=f"budgets.{level}").count() == alerts.count()


def test_a_process_killed_between_reserving_and_settling_leaks_nothing(tmp_path: Path) -> None:
    tokens(10_000)
    output = tmp_path / "id.txt"
    assert run(workers.die_between, environment=environment(), output=output) == -9
    row = Call.objects.get(pk=output.read_text().strip())
    assert counters() == [(0, 1_000)]
    sql("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    came_back(10)
    assert counters() == [(1_010, 0)]
    row.refresh_from_db()
    assert (row.state, row.cost_micros) == ("lapsed", None)
    assert Hold.objects.get().final is False


def test_a_budget_made_while_calls_race_has_missed_none(tmp_path: Path) -> None:
    racing = [
        start(workers.race, seed, THREADS, EACH, environment=environment(), output=tmp_path / f"{seed}.txt")
        for seed in range(2)
    ]
    made: list[Any] = []
    for at, feature in enumerate(("", "support.answer", "other.thing")):
        while any(process.is_alive() for process in racing) and Call.objects.count() < 60 * (at + 1):
            time.sleep(0.01)
        made += [tokens(10**9, feature=feature), tokens(10**9, feature=feature, per="cohort")]
        assert drift() == []
    for process in racing:
        process.join()
    assert [process.exitcode for process in racing] == [0, 0], [
        file.read_text() for file in tmp_path.iterdir()
    ]
    counters()
    assert drift() == []
    assert BudgetPeriod.objects.filter(budget__in=made, spent__gt=0).exists()


def test_whatever_happens_in_whatever_order_nobody_waits_for_another_in_a_circle(tmp_path: Path) -> None:
    made = [
        tokens(10**9, feature=feature, per=per, period=period)
        for feature, per, period in (
            ("", "user", "month"), ("support.answer", "all", "day"), ("", "cohort", "day"), ("", "all", "month"),
            ("other.thing", "tenant", "month"), ("support.answer", "user", "day"), ("", "tenant", "day"),
        )
    ]  # fmt: skip
    Budget.objects.filter(pk__in=[made[2].pk, made[4].pk]).update(bound="estimated")
    Estimate.objects.create(feature="support.answer", unit="tokens", ratio=0.4, calls=100)
    racing = [
        start(workers.operate, seed, 150, environment=environment(), output=tmp_path / f"{seed}.txt")
        for seed in range(6)
    ]
    for process in racing:
        process.join()
    assert [process.exitcode for process in racing] == [0] * 6, "".join(
        file.read_text() for file in tmp_path.iterdir()
    )
    Budget.objects.filter(active=False).update(active=True)
    assert drift() == []
    counters()
    assert drift() == []
    assert Call.objects.filter(state="lapsed").exists()


def test_a_call_waits_while_a_budget_is_made_and_is_counted_by_it(tmp_path: Path) -> None:
    output = tmp_path / "calls.txt"
    caller = start(workers.call_again_and_again, 40, environment=environment(), output=output)
    until(lambda: output.exists() and output.read_text().count("done") > 10)  # its plans are made and kept
    with transaction.atomic():
        budget = tokens(10**9)
        until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'") != [])
        made = output.read_text().count("done")
    caller.join()
    assert caller.exitcode == 0, output.read_text()
    assert made < 40
    assert counters() == [(40 * 10, 0)]
    assert BudgetPeriod.objects.get().budget == budget
    assert drift() == []


def test_a_sweep_waits_while_a_budget_is_counted_anew(tmp_path: Path) -> None:
    """The one takes the notes of its calls and then its counters, the other the counters and then the notes."""
    budget = tokens(10**9)
    came_back(10)
    Budget.objects.filter(pk=budget.pk).update(active=False)
    Hold.objects.create(  # of a call that was settling just then
        call=Call.objects.get().pk, period=BudgetPeriod.objects.get(), held=0, actual=0, final=True, due=True
    )
    with transaction.atomic():
        Budget.objects.filter(pk=budget.pk).update(active=True)
        sweeping = start(workers.sweep, environment=environment(), output=tmp_path / "sweep.txt")
        until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'") != [])
    sweeping.join()
    assert sweeping.exitcode == 0, (tmp_path / "sweep.txt").read_text()
    assert counters() == [(10, 0)]
    assert drift() == []
