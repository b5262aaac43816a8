"""Promise 3 when PostgreSQL itself goes away in the middle of runs, and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.processes import start as start_process
from tests.search.workers import until
from tests.workflows import workers
from tools.chromium import in_ci
from tools.services.exceptions import ServiceError
from tools.services.places import service_account, state_folder
from tools.services.postgres import Postgres

pytestmark = pytest.mark.slow

RUNS = 6


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL that nobody else uses."""
    account = service_account()
    found = Postgres("test", state_folder("postgres-restarts", account), account)
    try:
        found.start()
        found.recreate_database()
    except ServiceError as error:
        if in_ci():
            pytest.fail(str(error))
        pytest.skip(str(error))
    try:
        yield found
    finally:
        found.remove()


def stop_at_once(server: Postgres) -> None:
    """As a crash does: no session is told, what was not flushed is gone."""
    server._run("pg_ctl", "stop", "-D", str(server.data), "-m", "immediate", "-t", "60")


def rows(server: Postgres) -> list[tuple[Any, ...]]:
    with suppress(psycopg.OperationalError), psycopg.connect(server.url()) as link:
        return link.execute(
            "SELECT r.status, c.data -> 'steps' FROM lockstep_workflows_run AS r"
            " LEFT JOIN lockstep_workflows_runcontent AS c ON c.run_id = r.id AND c.kind = 'result'"
        ).fetchall()
    return []


def test_runs_go_on_when_postgres_is_back(server: Postgres, tmp_path: Path) -> None:
    environment = workers.environment(tmp_path, sleep_s=0.3, lease_s=3) | {"DATABASE_URL": server.url()}
    command = [sys.executable, "-m", "django", "migrate", "-v0"]
    subprocess.run(command, env=os.environ | environment, check=True, timeout=120)
    output = tmp_path / "said.txt"
    working = [
        start_process(workers.work, RUNS if number == 0 else 0, environment=environment, output=output)
        for number in range(2)
    ]
    try:
        done = tmp_path / "done.txt"
        until(lambda: done.exists() and len(done.read_text().splitlines()) > 5, timeout_s=60)
        stop_at_once(server)
        until(lambda: "It is tried again." in output.read_text(), timeout_s=40)
        server.start()
        until(lambda: [row[0] for row in rows(server)] == ["succeeded"] * RUNS, timeout_s=90)
        assert all(process.is_alive() for process in working), output.read_text()
    finally:
        for process in working:
            process.kill()
            process.join()
    assert all(row[1] == [f"n{at}" for at in range(6)] for row in rows(server))
