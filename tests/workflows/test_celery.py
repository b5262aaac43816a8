"""Workers of Celery over a real Redis: killed, sent away by a deploy, or without their broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lockstep.workflows import start
from lockstep.workflows.models import Run
from tests.search.workers import until
from tests.workflows import workers
from tests.workflows.test_faults import done, ended, no_stale_writes
from tools.chromium import in_ci
from tools.services.exceptions import ServiceMissing
from tools.services.redis import private_redis, redis_server

pytestmark = [pytest.mark.usefixtures("transactional_db"), pytest.mark.slow]


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """URL of a Redis of our own, which saves nothing."""
    try:
        redis_server()
    except ServiceMissing as missing:
        if in_ci():
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with private_redis() as socket:
        yield f"redis+socket://{socket}"


@pytest.fixture
def bell(redis: str, settings: Any) -> Callable[[], Any]:
    """Doorbells of this process go to that Redis, whose client it returns; each test begins with an empty one."""
    from redis import Redis

    from tests.flows.celery import app

    app.set_current()

    client = Redis(unix_socket_path=redis.removeprefix("redis+socket://"))
    client.flushall()
    app.conf.broker_url = redis
    return lambda: client


@contextmanager
def worker(
    redis: str, folder: Path, name: str, *flags: str, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with two processes, ready to work; killed with them at the end."""
    environment = {**os.environ, **workers.environment(folder, **options), "REDIS_URL": redis}
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.flows.celery", "worker", "-c", "2", "-l", "info",
             "--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{name}@test", *flags],
            env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: b"ready." in log.read_bytes(), timeout_s=60, what=f"worker {name}")
        yield process
    finally:
        tree(process, signal.SIGKILL)
        process.wait()


def tree(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def test_a_doorbell_is_enough(redis: str, bell: Any, tmp_path: Path) -> None:
    with worker(redis, tmp_path, "one", sweep_s=60):
        run = start("fan_out", {})
        until(lambda: ended(run))
    assert (run.status, run.epoch) == ("succeeded", 1)
    assert set(done(tmp_path).values()) == {1}


def test_a_worker_tree_that_is_killed_is_followed_by_another(redis: str, bell: Any, tmp_path: Path) -> None:
    with worker(redis, tmp_path, "first", sleep_s=0.3) as first:
        run = start("linear", {})
        until(lambda: done(tmp_path)["n2"] if (tmp_path / "done.txt").exists() else 0)
        with worker(redis, tmp_path, "second", sleep_s=0.3):
            tree(first, signal.SIGKILL)
            until(lambda: ended(run), timeout_s=60)
    assert run.status == "succeeded"
    assert run.result["steps"] == [f"n{at}" for at in range(6)]
    assert done(tmp_path) - Counter([f"n{at}" for at in range(6)]) <= Counter(
        dict.fromkeys(run.nodes.filter(status="died").values_list("node", flat=True), 1)
    )
    no_stale_writes(run)


def test_a_process_of_a_pool_that_is_killed_is_followed_before_any_sweep(
    redis: str, bell: Any, tmp_path: Path
) -> None:
    with worker(redis, tmp_path, "one", sleep_s=0.5, sweep_s=60, lease_s=120):
        run = start("linear", {})
        until(lambda: done(tmp_path)["n2"] if (tmp_path / "done.txt").exists() else 0)
        run.refresh_from_db()
        os.kill(int(run.owner.split(":")[1]), signal.SIGKILL)
        until(lambda: Run.objects.get(pk=run.pk).epoch == 2, timeout_s=30)
        until(lambda: ended(run), timeout_s=60)
    assert run.status == "succeeded"
    assert run.result["steps"] == [f"n{at}" for at in range(6)]


def test_a_deploy_hands_runs_over_and_runs_no_node_twice(redis: str, bell: Any, tmp_path: Path) -> None:
    with worker(redis, tmp_path, "one", sleep_s=1) as one, worker(redis, tmp_path, "two", sleep_s=1) as two:
        run = start("linear", {})
        until(lambda: done(tmp_path)["n1"] if (tmp_path / "done.txt").exists() else 0)
        run.refresh_from_db()
        leaving = one if os.getpgid(int(run.owner.split(":")[1])) == one.pid else two
        leaving.send_signal(signal.SIGTERM)
        until(lambda: ended(run), timeout_s=60)
        leaving.wait(30)
    assert (run.status, run.epoch) == ("succeeded", 2)
    assert set(done(tmp_path).values()) == {1}
    assert run.crash_count == 0


def test_a_worker_that_is_told_to_quit_at_once_is_followed(redis: str, bell: Any, tmp_path: Path) -> None:
    """SIGQUIT: Celery's cold shutdown waits for nothing."""
    with worker(redis, tmp_path, "old", sleep_s=0.4) as old:
        run = start("linear", {})
        until(lambda: done(tmp_path)["n1"] if (tmp_path / "done.txt").exists() else 0)
        with worker(redis, tmp_path, "new", sleep_s=0.4):
            old.send_signal(signal.SIGQUIT)
            until(lambda: ended(run), timeout_s=60)
    assert run.status == "succeeded"
    assert run.result["steps"] == [f"n{at}" for at in range(6)]
    no_stale_writes(run)


def test_processes_that_serve_one_run_each_lose_none(redis: str, bell: Any, tmp_path: Path) -> None:
    with worker(redis, tmp_path, "one", "--max-tasks-per-child", "1"):
        runs = [start("linear", {}) for _ in range(8)]
        for run in runs:
            until(lambda run=run: ended(run), timeout_s=60)
    assert {(run.status, run.epoch, run.crash_count) for run in runs} == {("succeeded", 1, 0)}
    assert set(done(tmp_path).values()) == {8}


def test_a_process_that_tools_left_too_many_threads_is_replaced(
    redis: str, bell: Any, tmp_path: Path
) -> None:
    with worker(redis, tmp_path, "one", "-c", "1"):
        runs = []
        for name in ("lingers", "lingers", "linear"):
            run = start(name, {})
            runs.append(run)
            until(lambda run=run: ended(run), timeout_s=60)
    assert {(run.status, run.epoch, run.crash_count) for run in runs} == {("succeeded", 1, 0)}
    assert runs[0].result["steps"] != runs[1].result["steps"]


def test_a_worker_imports_what_runs_need_before_it_has_a_second_thread(tmp_path: Path) -> None:
    """A process that is forked while the sweeper imports something waits for that import for ever."""
    asked = (
        "import sys, celery, django; django.setup();"
        "assert 'tests.flows.workflows' not in sys.modules;"
        "celery.signals.worker_init.send(None);"
        "sys.exit(not {'tests.flows.workflows', 'langgraph.pregel.main'} <= {*sys.modules})"
    )
    environment = {**os.environ, **workers.environment(tmp_path)}
    assert subprocess.run([sys.executable, "-c", asked], env=environment, check=False).returncode == 0


def test_a_broker_that_is_gone_for_a_while_loses_no_run(bell: Any, tmp_path: Path) -> None:
    from tests.flows.celery import app

    with tempfile.TemporaryDirectory(prefix="ls-") as place, ExitStack() as stack:
        folder = Path(place)
        with private_redis(folder) as socket:
            url = app.conf.broker_url = f"redis+socket://{socket}"
            stack.enter_context(worker(url, tmp_path, "one", sweep_s=0.3))
            runs = [start("linear", {})]
            until(lambda: ended(runs[0]), timeout_s=60)
        runs += [start("linear", {}) for _ in range(5)]
        time.sleep(3)
        assert {Run.objects.get(pk=run.pk).status for run in runs[1:]} == {"queued"}
        with private_redis(folder):
            for run in runs:
                until(lambda run=run: ended(run), timeout_s=90)
            stack.close()
    assert {(run.status, run.epoch) for run in runs} == {("succeeded", 1)}
    assert set(done(tmp_path).values()) == {6}


def test_a_broker_that_answers_nobody_for_a_while_holds_no_request_up(
    redis: str, bell: Any, tmp_path: Path
) -> None:
    with worker(redis, tmp_path, "one", sweep_s=0.3):
        bell().client_pause(10_000)
        began = time.monotonic()
        runs = [start("linear", {}) for _ in range(5)]
        assert time.monotonic() - began < 8
        for run in runs:
            until(lambda run=run: ended(run), timeout_s=60)
    assert {(run.status, run.epoch) for run in runs} == {("succeeded", 1)}


def test_without_their_doorbells_runs_come_through_all_the_same(
    redis: str, bell: Any, tmp_path: Path
) -> None:
    runs = [start("linear", {}) for _ in range(5)]
    until(lambda: bell().llen("celery") == 5)
    bell().flushall()
    with worker(redis, tmp_path, "one", sweep_s=0.3):
        for run in runs:
            until(lambda run=run: ended(run), timeout_s=60)
    assert {run.status for run in runs} == {"succeeded"}
    assert {run.epoch for run in runs} == {1}


def test_a_broker_that_is_down_is_nobody_elses_trouble(bell: Any, tmp_path: Path) -> None:
    from tests.flows.celery import app

    app.conf.broker_url = "redis://127.0.0.1:1/0"
    began = time.monotonic()
    runs = [start("linear", {}) for _ in range(20)]
    assert time.monotonic() - began < 5
    assert Run.objects.filter(status="queued").count() == len(runs)


def test_doorbells_that_come_thrice_change_nothing(redis: str, bell: Any, tmp_path: Path) -> None:
    from lockstep.workflows.tasks import advance

    run = start("linear", {})
    for _ in range(3):
        advance.apply_async(args=[str(run.pk)])
    with worker(redis, tmp_path, "one"):
        until(lambda: ended(run), timeout_s=60)
    assert set(done(tmp_path).values()) == {1}
    assert run.epoch == 1
