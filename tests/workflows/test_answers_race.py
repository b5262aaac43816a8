"""Answers and events in real processes: all at once, killed half-way, and none lost or taken twice."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
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

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("transactional_db")]


def all_at_once(folder: Path, *calls: tuple[Any, ...]) -> list[str]:
    """Run each call in a process of its own, all from the same moment on. What they wrote."""
    place = Path(tempfile.mkdtemp(dir=folder))
    outputs = [place / f"{number}.txt" for number in range(len(calls))]
    given = workers.environment(folder)
    work = [
        start_process(call, *arguments, str(place), environment=given, output=output)
        for (call, *arguments), output in zip(calls, outputs, strict=True)
    ]
    until(lambda: len([*place.glob("ready-*")]) == len(work), 60)
    (place / "go").touch()
    for process in work:
        process.join(120)
    texts = [output.read_text() for output in outputs]
    assert [process.exitcode for process in work] == [0] * len(work), texts
    return texts


def stopped(folder: Path, name: str, given: list[dict[str, Any]]) -> list[Run]:
    """Runs that real workers have taken to where they wait."""
    runs = [begin(name, one) for one in given]
    all_at_once(folder, (answering.serve, [str(run.pk) for run in runs]))
    assert set(Run.objects.values_list("status", flat=True)) == {"waiting"}
    return runs


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.status not in ("queued", "running", "waiting")


def all_ended(runs: list[Run], folder: Path) -> None:
    """Whatever doorbells were lost: a sweeping worker alone brings them to their end."""
    work = start_process(workers.follow, 120, environment=workers.environment(folder))
    try:
        until(lambda: all(ended(run) for run in runs), 60)
    finally:
        work.kill()
        work.join()


def test_approve_and_reject_at_the_same_instant_exactly_one_wins(tmp_path: Path) -> None:
    runs = stopped(tmp_path, "review", [{"amount": 5} for _ in range(30)])
    waits = [str(wait) for wait in Wait.objects.values_list("pk", flat=True)]
    people = [reviewer(name) for name in ("ann", "bob", "eve", "zoe")]
    decisions = ("approve", "reject", "approve", "reject")
    said = all_at_once(
        tmp_path,
        *[(answering.decide, waits, d, person.pk) for person, d in zip(people, decisions, strict=True)],
    )
    told = defaultdict(list)
    for person, text in zip(people, said, strict=True):
        for line in text.splitlines():
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
    people = [reviewer(name) for name in ("ann", "bob")]
    work = start_process(workers.follow, 120, environment=workers.environment(tmp_path))
    try:
        all_at_once(
            tmp_path,
            (answering.decide, waits, "approve", people[0].pk),
            (answering.decide, waits[::-1], "approve", people[1].pk),
        )
        until(lambda: not Run.objects.exclude(status="succeeded").exists(), 60)
    finally:
        work.kill()
        work.join()
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
    all_at_once(
        tmp_path,
        *[(answering.serve, ids[part::2]) for part in range(2)],
        *[(answering.receive_all, "payment.settled", keys[part::2]) for part in range(2)],
    )
    assert not InboundEvent.objects.filter(wait=None).exists()
    assert not Wait.objects.exclude(status="answered").exists()
    assert not Run.objects.filter(status="waiting").exists()
    all_ended(runs, tmp_path)
    assert [run.result["answer"] for run in runs] == keys


def test_a_burst_of_events_each_sent_three_times_wakes_each_run_once(tmp_path: Path) -> None:
    runs = stopped(tmp_path, "event", [{"amount": amount} for amount in range(20)])
    keys = [str(amount) for amount in range(250)]
    all_at_once(tmp_path, *[(answering.receive_all, "payment.settled", keys)] * 3)
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


def test_an_answer_beside_a_worker_that_stops_waits_for_its_commit() -> None:
    """The instant that no luck finds: the worker has looked for answers, and its stop is not committed yet."""
    from lockstep.workflows import engine
    from lockstep.workflows.connection import apart
    from lockstep.workflows.ownership import here

    run = begin("review", {"amount": 5})
    held = here().acquire(str(run.pk))
    assert engine._Advance(held).end().status == "waiting"
    asked = json.dumps(
        {"wait": str(Wait.objects.get().pk), "digest": Wait.objects.get().digest, "decision": "approve"}
    )
    said = json.dumps({"decision": "approve", "args": {"amount": 5}})
    answers: list[Any] = []

    def give(connection: Any) -> None:
        statement = 'SELECT lockstep_workflows_answer_v1(%s::jsonb || \'{"person": "1"}\', %s::jsonb)'
        answers.append(connection.execute(statement, (asked, said)).fetchone()[0])

    with apart.connect() as worker, apart.connect() as person:
        person.autocommit = True
        worker.autocommit = False
        worker.execute(engine.RELEASE, (held.id, held.fence.epoch, '{"status": "waiting"}'))
        thread = threading.Thread(target=give, args=(person,))
        thread.start()
        thread.join(0.5)
        worker.commit()
        thread.join(10)
    assert "refused" not in answers[0]
    run.refresh_from_db()
    assert run.status == "queued"


def test_an_event_beside_a_wait_that_is_not_committed_waits_for_it() -> None:
    """The same instant of events: the worker has looked for one, and its wait cannot be seen yet."""
    from lockstep.workflows.connection import apart
    from lockstep.workflows.inbox.receiving import receive
    from lockstep.workflows.ownership import here

    run = begin("event", {"amount": 7})
    held = here().acquire(str(run.pk))
    stop = {
        "interrupt": "i", "task": "t", "ns": "", "node": "wait", "kind": "event", "name": "payment.settled",
        "key": "7", "digest": "", "assignee": "",
    }  # fmt: skip

    def come() -> None:
        receive("payment.settled", key="7", body="paid")
        connection.close()

    asks = "SELECT lockstep_workflows_asks_v1(%s, %s::jsonb, '', clock_timestamp(), %s)"
    with apart.connect() as worker:
        worker.autocommit = False
        worker.execute(asks, (held.id, json.dumps([stop]), run.expires_at))
        thread = threading.Thread(target=come)
        thread.start()
        thread.join(1)
        worker.commit()
        thread.join(10)
    assert InboundEvent.objects.get().wait == Wait.objects.get()
    assert Wait.objects.get().answer == "paid"


def test_the_database_waits_for_nobody_in_a_circle() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert cursor.fetchone() == (0,)
