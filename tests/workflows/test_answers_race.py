"""Answers and events in real processes: all at once, killed half-way, and none lost or taken twice."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from lockstep.core.models import Notice
from lockstep.workflows import answer
from lockstep.workflows import start as begin
from lockstep.workflows.inbox.models import InboundEvent
from lockstep.workflows.models import Run, Wait
from tests.processes import run as run_process
from tests.processes import start as start_process
from tests.search.workers import until
from tests.workflows import answering, workers
from tests.workflows.test_answers import reviewer

pytestmark = pytest.mark.usefixtures("transactional_db")
LEAD_S = 4.0
"""Until all processes have started."""


def stopped(folder: Path, name: str, given: list[dict[str, Any]]) -> list[Run]:
    """Runs that real workers have taken to where they wait."""
    runs = [begin(name, one) for one in given]
    halves = [[str(run.pk) for run in runs[at::2]] for at in range(2)]
    work = [
        start_process(answering.serve, half, 0.0, environment=workers.environment(folder)) for half in halves
    ]
    for process in work:
        process.join(60)
    assert set(Run.objects.values_list("status", flat=True)) == {"waiting"}
    return runs


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.status not in ("queued", "running", "waiting")


def all_ended(runs: list[Run], folder: Path, within_s: float = 30) -> None:
    """Whatever doorbells were lost: sweepers alone bring them to their end."""
    work = [
        start_process(workers.follow, within_s, environment=workers.environment(folder)) for _ in range(2)
    ]
    try:
        until(lambda: not Run.objects.exclude(status__in=("succeeded", "failed")).exists(), within_s)
    finally:
        for process in work:
            process.kill()
            process.join()
    assert {run.pk for run in runs if not ended(run)} == set()


def test_approve_and_reject_at_the_same_instant_exactly_one_wins(tmp_path: Path) -> None:
    runs = stopped(tmp_path, "review", [{"amount": 5} for _ in range(30)])
    waits = [str(wait) for wait in Wait.objects.values_list("pk", flat=True)]
    people = [reviewer(name) for name in ("ann", "bob", "eve", "zoe")]
    at = time.time() + LEAD_S
    racing = [
        start_process(
            answering.decide, waits, decision, person.pk, at,
            environment=workers.environment(tmp_path), output=tmp_path / f"{person}.txt",
        )
        for person, decision in zip(people, ("approve", "reject", "approve", "reject"), strict=True)
    ]  # fmt: skip
    for process in racing:
        process.join(60)
    told = defaultdict(list)
    for person in people:
        for line in (tmp_path / f"{person}.txt").read_text().splitlines():
            wait, *what = json.loads(line)
            told[wait].append((str(person.pk), what))
    winners = Counter[str]()
    for wait in Wait.objects.all():
        won = [(by, what[0]) for by, what in told[str(wait.pk)] if len(what) == 1]
        assert won == [(wait.answered_by, wait.decision)]
        lost = [what for _, what in told[str(wait.pk)] if len(what) == 2]
        assert lost == [["answered", wait.answered_by]] * 3
        winners[wait.decision] += 1
    assert len(winners) == 2, "a race that always goes to the same is none"
    assert Notice.objects.filter(resolves=True, topic="workflows.review").count() == len(runs)
    all_ended(runs, tmp_path)
    for run in runs:
        assert run.result["answer"] == Wait.objects.get(run=run).decision


def test_answers_while_workers_stop_and_go_are_all_taken_once(tmp_path: Path) -> None:
    """Three questions a run, answered by two people at once, while workers take runs on and leave them."""
    runs = stopped(tmp_path, "three", [{"amount": 1} for _ in range(8)])
    waits = [str(wait) for wait in Wait.objects.order_by("name").values_list("pk", flat=True)]
    at = time.time() + LEAD_S
    people = [reviewer(name) for name in ("ann", "bob")]
    work = [start_process(workers.follow, 60, environment=workers.environment(tmp_path)) for _ in range(2)]
    racing = [
        start_process(
            answering.decide, part, "approve", person.pk, at, environment=workers.environment(tmp_path)
        )
        for person, part in zip(people, (waits, waits[::-1]), strict=True)
    ]
    try:
        for process in racing:
            process.join(60)
        until(lambda: not Run.objects.exclude(status="succeeded").exists(), 60)
    finally:
        for process in work:
            process.kill()
            process.join()
    decided = [line for line in (tmp_path / "done.txt").read_text().splitlines() if line.endswith("approve")]
    assert Counter(decided) == Counter({f"{name} approve": len(runs) for name in "abc"})
    for run in runs:
        run.refresh_from_db()
        assert len(run.result["steps"]) == 4
    assert not Wait.objects.filter(taken_at=None).exists()
    assert Notice.objects.filter(resolves=False).count() == Notice.objects.filter(resolves=True).count() == 24


@pytest.mark.parametrize("commit", [True, False])
def test_who_answers_and_is_killed_has_answered_or_has_not(commit: bool, tmp_path: Path) -> None:
    (run,) = stopped(tmp_path, "review", [{"amount": 5}])
    wait, ann = Wait.objects.get(), reviewer()
    killed = run_process(
        answering.answer_and_die, str(wait.pk), ann.pk, commit, environment=workers.environment(tmp_path)
    )
    assert killed == -signal.SIGKILL
    wait.refresh_from_db()
    assert wait.status == ("answered" if commit else "open")
    assert Notice.objects.filter(resolves=True).count() == int(commit)
    if not commit:
        answer(wait, "approve", by=ann)
    all_ended([run], tmp_path)
    assert run.result["answer"] == "approve"


def test_a_worker_that_is_killed_with_the_answer_in_hand_is_followed(tmp_path: Path) -> None:
    (run,) = stopped(tmp_path, "review", [{"amount": 5}])
    answer(Wait.objects.get(), "approve", by=reviewer())
    dying = workers.environment(tmp_path, die="kill:before pay")
    assert run_process(workers.advance_one, str(run.pk), environment=dying) == -signal.SIGKILL
    all_ended([run], tmp_path)
    assert (run.status, run.result["answer"]) == ("succeeded", "approve")
    assert Wait.objects.count() == 1
    assert list(Notice.objects.order_by("pk").values_list("resolves", flat=True)) == [False, True]


def test_events_and_waits_that_come_at_the_same_moment_always_meet(tmp_path: Path) -> None:
    """No sweep and no retry helps here: who waits and who comes see each other, or one of them is lost for good."""
    runs = [begin("event", {"amount": amount}) for amount in range(120)]
    ids, keys = [str(run.pk) for run in runs], [str(amount) for amount in range(120)]
    at = time.time() + LEAD_S
    racing = [
        start_process(answering.serve, ids[part::2], at, environment=workers.environment(tmp_path))
        for part in range(2)
    ]
    racing += [
        start_process(
            answering.receive_all, "payment.settled", keys[part::2], at,
            environment=workers.environment(tmp_path), output=tmp_path / f"{part}.txt",
        )
        for part in range(2)
    ]  # fmt: skip
    for process in racing:
        process.join(120)
    assert [process.exitcode for process in racing] == [0] * 4, (tmp_path / "0.txt").read_text()
    assert not InboundEvent.objects.filter(wait=None).exists()
    assert not Wait.objects.exclude(status="answered").exists()
    assert not Run.objects.filter(status="waiting").exists()
    all_ended(runs, tmp_path)
    assert [run.result["answer"] for run in runs] == keys


def test_a_burst_of_events_each_sent_three_times_wakes_each_run_once(tmp_path: Path) -> None:
    runs = stopped(tmp_path, "event", [{"amount": amount} for amount in range(20)])
    keys = [str(amount) for amount in range(250)]
    at = time.time() + LEAD_S
    racing = [
        start_process(
            answering.receive_all, "payment.settled", keys, at, 1,
            environment=workers.environment(tmp_path), output=tmp_path / f"{part}.txt",
        )
        for part in range(4)
    ]  # fmt: skip
    for process in racing:
        process.join(120)
    assert [process.exitcode for process in racing] == [0] * 4, (tmp_path / "0.txt").read_text()
    assert InboundEvent.objects.count() == 250
    assert InboundEvent.objects.exclude(wait=None).count() == 20
    all_ended(runs, tmp_path)
    assert [run.result["answer"] for run in runs] == keys[:20]


def test_a_receiver_that_is_killed_after_its_commit_has_lost_nothing(tmp_path: Path) -> None:
    (run,) = stopped(tmp_path, "event", [{"amount": 7}])
    killed = run_process(
        answering.receive_and_die, "payment.settled", "7", environment=workers.environment(tmp_path)
    )
    assert killed == -signal.SIGKILL
    assert InboundEvent.objects.get().wait is None
    all_ended([run], tmp_path)
    assert run.result["answer"] == "7"


def test_the_database_waits_for_nobody_in_a_circle() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert cursor.fetchone() == (0,)
