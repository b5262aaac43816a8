"""Real processes that deliver: many at once, killed in the middle, told to stop, cut off from their database."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from lockstep.core import ports
from lockstep.core.models import Delivery, JobState, Notice, SinkState
from tests.core.notify import workers
from tests.core.notify.clock import pass_by
from tests.core.notify.conftest import SECRET, webhook
from tests.core.notify.receiver import Receiver, running
from tests.processes import run, start
from tests.search.workers import environment, until


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """By pytest-django's name, so that it makes the database."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            for model in (Notice, SinkState, JobState):
                model.objects.all().delete()


pytestmark = pytest.mark.usefixtures("transactional_db")


def env(**more: str) -> dict[str, str]:
    return {**environment(), "HOOK_SECRET": SECRET, **more}


def send(subject: str, **facts: Any) -> None:
    ports.notify.get().send(ports.Notice("budgets.hard", subject, **facts))


def stop(*processes: Any) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGTERM)
    for process in processes:
        process.join(20)
        assert not process.is_alive()


def test_several_processes_deliver_everything_once_and_in_order(receiver: Receiver, tmp_path: Path) -> None:
    with running() as second:
        sinks = {"ops": webhook(receiver, PER_MINUTE=10_000), "second": webhook(second, PER_MINUTE=10_000)}
        processes = [
            start(workers.follow, sinks, environment=env(), output=tmp_path / f"{number}.txt")
            for number in range(3)
        ]
        for number in range(30):
            send(f"on {number}", dedup_key=f"k{number}")
            send(f"off {number}", dedup_key=f"k{number}", resolves=True)
        for told in (receiver, second):
            assert told.count(60) == 60
        until(lambda: not Delivery.objects.exclude(state="sent").exists())
        stop(*processes)
        assert [process.exitcode for process in processes] == [0] * 3, (tmp_path / "0.txt").read_text()
        for told in (receiver, second):
            assert len(told.requests) == len({headers["webhook-id"] for headers, _ in told.requests}) == 60
            for number in range(30):
                assert told.subjects.index(f"on {number}") < told.subjects.index(f"off {number}")
    said = "".join(file.read_text() for file in tmp_path.iterdir())
    assert sum(int(line.split()[2]) for line in said.splitlines() if "delivered" in line) == 120


def test_a_deliverer_killed_in_the_middle_may_repeat_one_message_and_loses_none(
    receiver: Receiver, tmp_path: Path
) -> None:
    sinks = {"ops": webhook(receiver)}
    receiver.hang = True
    for number in range(3):
        send(f"{number}")
    first = start(workers.follow, sinks, environment=env(), output=tmp_path / "first.txt")
    assert receiver.count(1) == 1
    assert Delivery.objects.filter(state="pending").count() == 3
    first.kill()
    first.join()
    receiver.hang = False
    receiver.waits.set()
    assert run(workers.once, sinks, environment=env(), output=tmp_path / "early.txt") == 0
    assert len(receiver.requests) == 1  # the dead one's hold has not lapsed
    pass_by(minutes=1)
    assert run(workers.once, sinks, environment=env(), output=tmp_path / "second.txt") == 0
    ids = [headers["webhook-id"] for headers, _ in receiver.requests]
    assert len(ids) == 4
    assert ids[0] == ids[1]  # the receiver can tell, and drops it
    assert len(set(ids)) == 3
    assert not Delivery.objects.exclude(state="sent").exists()


def test_told_to_stop_a_deliverer_finishes_what_it_has_begun(receiver: Receiver, tmp_path: Path) -> None:
    receiver.hang = True
    send("one")
    process = start(
        workers.follow, {"ops": webhook(receiver)}, environment=env(), output=tmp_path / "said.txt"
    )
    assert receiver.count(1) == 1
    os.kill(process.pid or 0, signal.SIGTERM)
    process.join(0.5)
    assert process.is_alive()
    receiver.hang, receiver.status = False, 204
    receiver.waits.set()  # the connection ends without an answer
    process.join(10)
    assert process.exitcode == 0, (tmp_path / "said.txt").read_text()
    assert "1 failed attempts" in (tmp_path / "said.txt").read_text()
    assert Delivery.objects.get().attempts == 1
    assert SinkState.objects.get().held_by is None


def test_a_deliverer_outlives_its_database_connection(receiver: Receiver, tmp_path: Path) -> None:
    process = start(
        workers.follow,
        {"ops": webhook(receiver)},
        environment=env(PGAPPNAME="notifying"),
        output=tmp_path / "said.txt",
    )
    send("before")
    assert receiver.count(1) == 1
    until(lambda: not Delivery.objects.exclude(state="sent").exists())
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'notifying'"
            )
    send("after")
    assert receiver.count(2) == 2, (tmp_path / "said.txt").read_text()
    stop(process)
    assert process.exitcode == 0
    assert receiver.subjects == ["before", "after"]


def test_no_transaction_is_open_while_something_is_sent(receiver: Receiver, tmp_path: Path) -> None:
    receiver.hang = True
    send("one")
    process = start(
        workers.follow,
        {"ops": webhook(receiver)},
        environment=env(PGAPPNAME="idle"),
        output=tmp_path / "s.txt",
    )
    assert receiver.count(1) == 1
    with connection.cursor() as cursor:
        for _ in range(20):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'"
                " AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '50 ms'"
            )
            assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'")
        assert cursor.fetchone()[0] <= 4
    process.kill()
    process.join()


def test_jobs_run_beside_the_deliveries(receiver: Receiver, tmp_path: Path) -> None:
    process = start(workers.follow, {"ops": webhook(receiver)}, environment=env(), output=tmp_path / "s.txt")
    until(lambda: JobState.objects.filter(ran_at__isnull=False).count() == len(ports.jobs.get()))
    stop(process)
    assert not JobState.objects.exclude(error="").exists()


def test_the_command_says_what_it_did(hook: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    send("one")
    hook.plan = [503]
    call_command("lockstep_notify")
    pass_by(minutes=11)
    call_command("lockstep_notify", "--once")
    assert capsys.readouterr().out.splitlines() == [
        "1 new, 0 delivered, 1 failed attempts.",
        "0 new, 1 delivered, 0 failed attempts.",
    ]


def test_core_alone_delivers_on_another_database(receiver: Receiver, tmp_path: Path) -> None:
    output = tmp_path / "said.txt"
    arguments = str(tmp_path / "db.sqlite3"), {"ops": webhook(receiver)}
    assert run(workers.on_sqlite, *arguments, environment=env(), output=output) == 0, output.read_text()
    assert receiver.subjects == ["on", "off"]
