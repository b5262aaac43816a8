"""Behind a real PgBouncer in transaction mode, with fewer connections to PostgreSQL than clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import connection

from lockstep.core.ids import new_id
from lockstep.llm.models import Call, Price
from tests.integration import pooled
from tests.llm.chat_server import ChatServer
from tests.llm.conftest import price, server
from tests.processes import run, start
from tests.search.workers import environment
from tools import debian, pgbouncer

__all__ = ["price", "server"]

pytestmark = pytest.mark.usefixtures("transactional_db")

PROCESSES, THREADS, EACH, SERVERS = 3, 6, 4, 4
"""Three callers hold a transaction open while they ask, and so a connection: one is left for the ledgers."""


@pytest.fixture
def pooler(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Starts one with as many connections to the test database. Absent, the test is skipped; in CI it fails."""
    if pgbouncer.find() is None:
        message = "no pgbouncer on this machine: install Debian's package of that name"
        if debian.in_ci():
            pytest.fail(message)
        pytest.skip(message)
    with ExitStack() as stack:
        place = {key: connection.settings_dict[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
        yield lambda servers: stack.enter_context(pgbouncer.running(tmp_path, place, servers=servers))


def through(url: str, **more: str) -> dict[str, str]:
    return {**environment(), "DATABASE_URL": url, "TEST_KEY": "a key", **more}


def shown(url: str, what: str) -> list[dict[str, Any]]:
    """A table of the pooler's own console."""
    with psycopg.connect(url, dbname="pgbouncer", autocommit=True, row_factory=psycopg.rows.dict_row) as link:
        return link.execute(f"SHOW {what}").fetchall()


@pytest.mark.slow
def test_many_clients_share_few_connections_and_every_request_is_a_row(
    pooler: Callable[[int], str], server: ChatServer, price: Price, tmp_path: Path
) -> None:
    began = new_id()
    url, outputs = pooler(SERVERS), [tmp_path / f"{number}.txt" for number in range(PROCESSES)]
    callers = [
        start(
            pooled.ask_and_roll_back, server.url, THREADS, EACH, environment=through(url), output=output
        )
        for output in outputs
    ]  # fmt: skip
    clients = servers = 0
    while any(caller.is_alive() for caller in callers):
        callers_of_it = [row for row in shown(url, "CLIENTS") if row["database"] != "pgbouncer"]
        clients, servers = max(clients, len(callers_of_it)), max(servers, len(shown(url, "SERVERS")))
        time.sleep(0.05)
    said = "".join(output.read_text() for output in outputs)
    assert [caller.exitcode for caller in callers] == [0] * PROCESSES, said
    assert 1 <= servers <= SERVERS < clients
    assert not Group.objects.exists()
    assert len(server.seen) == PROCESSES * THREADS * EACH
    ours = Call.objects.filter(id__gt=began)
    assert ours.count() == ours.filter(state="settled", outcome="ok").count() == len(server.seen)


def test_a_pooler_that_nobody_told_of_is_named_by_the_error(
    pooler: Callable[[int], str], server: ChatServer, price: Price, tmp_path: Path
) -> None:
    """What the first process has prepared stands in the way of the second's."""
    url, output = pooler(1), tmp_path / "said.txt"
    run(pooled.ask_unprepared_for, server.url, environment=through(url), output=tmp_path / "first.txt")
    assert run(pooled.ask_unprepared_for, server.url, environment=through(url), output=output) == 3
    assert 'LOCKSTEP["llm"]["pooler"] = "transaction"' in output.read_text()


def test_releases_and_searches_need_no_session(
    pooler: Callable[[int], str], server: ChatServer, price: Price, tmp_path: Path
) -> None:
    url, output = pooler(2), tmp_path / "said.txt"
    status = run(pooled.release_and_search, server.url, environment=through(url), output=output)
    assert status == 0, output.read_text()
