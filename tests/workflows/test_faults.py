"""Promise 3, with real processes that die, stop and race: another goes on where it was, and never two that write."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lockstep.workflows import start
from lockstep.workflows.models import Checkpoint, CheckpointWrite, Run
from tests.processes import run as run_process
from tests.processes import start as start_process
from tests.search.workers import until
from tests.workflows import workers

pytestmark = pytest.mark.usefixtures("transactional_db")

SHAPES = {
    "linear": ["n0", "n1", "n2", "n3", "n4", "n5"],
    "fan_out": ["split", "a", "b", "c", "join"],
    "nested": ["first", "in1", "in2", "each", "each", "each"],
}
TOGETHER = [["a", "b", "c"], ["each", "each", "each"]]
"""Nodes of one transition: when a worker dies, those that had not been written are run again too."""


def done(folder: Path) -> Counter[str]:
    """How often each node was begun, by what it left in the world."""
    lines = (folder / "done.txt").read_text().split("\n")[:-1]
    return Counter(line.split(" ")[1] for line in lines)


def ended(run: Run) -> bool:
    run.refresh_from_db()
    return run.status not in ("queued", "running")


def no_stale_writes(run: Run) -> None:
    """Of two rows the later one never has the lower epoch."""
    for model in (Checkpoint, CheckpointWrite):
        epochs = [*model.objects.filter(run=run).order_by("at").values_list("epoch", flat=True)]
        assert epochs == sorted(epochs)


def finished(run: Run, folder: Path, dead: str) -> None:
    """As a run without the fault, but for the node that died."""
    until(lambda: ended(run))
    assert (run.status, run.reason) == ("succeeded", "")
    expected = Counter(SHAPES[run.workflow])
    began = done(folder)
    again = next((names for names in TOGETHER if dead in names), [dead])
    assert not began - expected - Counter(again)
    assert not expected - began
    fault_free = start(run.workflow, {})
    run_process(workers.advance_one, str(fault_free.pk), environment=workers.environment(folder))
    until(lambda: ended(fault_free))  # or another worker has it
    assert run.result == fault_free.result
    no_stale_writes(run)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("linear", "before n0"), ("linear", "after n3"), ("linear", "after n5"), ("fan_out", "before b"),
        ("fan_out", "after c"), ("fan_out", "before join"), ("nested", "after in1"), ("nested", "before each"),
    ],
)  # fmt: skip
def test_a_killed_worker_is_followed_at_the_node_that_died(name: str, moment: str, tmp_path: Path) -> None:
    run = start(name, {})
    dying = workers.environment(tmp_path, die=f"kill:{moment}", lease_s=120)
    assert run_process(workers.advance_one, str(run.pk), environment=dying) == -signal.SIGKILL
    run.refresh_from_db()
    assert (run.status, run.epoch) == ("running", 1)
    other = start_process(workers.follow, 60, environment=dying)
    try:
        until(lambda: ended(run), timeout_s=60)  # a lease is 120
        finished(run, tmp_path, moment.split()[1])
    finally:
        other.kill()
        other.join()
    assert run.epoch == 2
    assert moment.split()[1] in run.nodes.filter(status="died").values_list("node", flat=True)


def test_a_worker_that_hangs_loses_its_run_and_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    run = start("linear", {})
    stopping = workers.environment(tmp_path, die="stop:after n2", lease_s=1)
    output = tmp_path / "zombie.txt"
    zombie = start_process(workers.advance_one, str(run.pk), environment=stopping, output=output)
    other = None
    try:
        until((tmp_path / "died").exists)
        other = start_process(workers.follow, 20, environment=stopping)
        until(lambda: ended(run))
        assert zombie.is_alive()
        assert zombie.pid is not None
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.join(20)
        assert output.read_text() == "None\n"
        finished(run, tmp_path, "n2")
    finally:
        for process in (zombie, other):
            if process is not None:
                process.kill()
                process.join()
    assert run.epoch == 2


def test_of_many_who_want_a_run_one_gets_it(tmp_path: Path) -> None:
    runs = [str(start("linear", {}).pk) for _ in range(40)]
    at = time.time() + 3
    racing = [
        start_process(
            workers.advance_all,
            runs,
            at,
            environment=workers.environment(tmp_path),
            output=tmp_path / f"{n}.txt",
        )
        for n in range(6)
    ]
    for process in racing:
        process.join(60)
    got = Counter(
        line for n in range(6) for line in (tmp_path / f"{n}.txt").read_text().split() if line != "-"
    )
    assert got == Counter(runs)
    assert set(Run.objects.values_list("epoch", flat=True)) == {1}


def test_a_poisonous_node_is_given_up_and_named(tmp_path: Path) -> None:
    run = start("poison", {})
    harmless = start("linear", {})
    for _ in range(20):
        given: Any = workers.environment(tmp_path)
        run_process(workers.follow, 1.5, environment=given)
        if ended(run) and ended(harmless):
            break
    assert (run.status, run.reason, run.node) == ("dead", "crashed", "kill")
    assert run.crash_count == 6
    assert run.nodes.filter(node="kill", status="died").count() == 6
    assert done(tmp_path)["ok"] == 1
    assert harmless.status == "succeeded"


def test_a_node_in_an_endless_loop_is_given_up_and_named(tmp_path: Path) -> None:
    run = start("endless", {})
    given: Any = workers.environment(tmp_path, most_crashes=1)
    for _ in range(10):
        run_process(workers.follow, 4, environment=given)
        if ended(run):
            break
    assert (run.status, run.reason, run.node) == ("dead", "crashed", "spin")
    assert run.nodes.filter(node="spin", status="died").count() == 2
    assert done(tmp_path)["ok"] == 1


def test_a_session_that_the_server_ends_is_opened_again_before_anybody_minds(tmp_path: Path) -> None:
    from django.db import connection

    def session() -> int | None:
        return Run.objects.values_list("owner_pid", flat=True).get(pk=run.pk)

    run = start("linear", {})
    slow = workers.environment(tmp_path, sleep_s=1.5, lease_s=120)
    owner = start_process(workers.advance_one, str(run.pk), environment=slow)
    try:
        for _ in range(2):
            pid = until(session)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            until(lambda pid=pid: session() not in (pid, None), what="another session")
        until(lambda: ended(run))
    finally:
        owner.kill()
        owner.join()
    assert (run.status, run.epoch) == ("succeeded", 1)
    assert set(done(tmp_path).values()) == {1}


HOUR_S = 3600.0


def test_clocks_that_are_wrong_decide_nothing(tmp_path: Path) -> None:
    """An hour ahead and an hour behind: neither robs the other, and both sleep as long as they were told."""
    run, sleeper = start("linear", {}), start("sleeper", {"amount": 2})
    ahead = workers.environment(tmp_path, sleep_s=0.7, clock_s=HOUR_S, lease_s=2, sweep_s=0.2)
    behind = workers.environment(tmp_path, sleep_s=0.7, clock_s=-HOUR_S, lease_s=2, sweep_s=0.2)
    owner = start_process(workers.advance_one, str(run.pk), environment=ahead)
    other = None
    try:
        until(lambda: Run.objects.get(pk=run.pk).status == "running")
        other = start_process(workers.follow, 60, environment=behind)
        until(lambda: ended(run))
        until(lambda: ended(sleeper) and sleeper.status == "succeeded")
    finally:
        for process in (owner, other):
            if process is not None:
                process.kill()
                process.join()
    assert (run.status, run.epoch) == ("succeeded", 1)
    assert set(done(tmp_path).values()) == {1}
    wait = sleeper.waits.get()
    assert wait.due_at is not None
    assert timedelta(seconds=1.9) < wait.due_at - wait.at < timedelta(seconds=2.5)
    assert wait.answered_at is not None
    assert wait.answered_at >= wait.due_at


def test_a_database_that_takes_no_more_connections_costs_time_and_no_run(tmp_path: Path) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() == (True,):
            pytest.skip("no limit holds for a superuser")
    runs = [start("fan_out", {}) for _ in range(3)]
    said = tmp_path / "said.txt"

    def limited(to: int) -> None:
        with connection.cursor() as cursor:
            name = connection.ops.quote_name(connection.settings_dict["NAME"])
            cursor.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {to}")

    limited(0)
    other = start_process(workers.work, 0, environment=workers.environment(tmp_path), output=said)
    try:
        until(lambda: said.exists() and "It is tried again." in said.read_text(), timeout_s=60)
        limited(-1)
        for run in runs:
            until(lambda run=run: ended(run), timeout_s=60)
    finally:
        limited(-1)
        other.kill()
        other.join()
    assert {(run.status, run.epoch, run.crash_count) for run in runs} == {("succeeded", 1, 0)}
