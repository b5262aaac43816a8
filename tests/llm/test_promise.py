"""Promise 5, outside any test runner: a call that was made is recorded, whatever becomes of whoever made it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from lockstep.llm import ledger
from lockstep.llm.models import Call, Price
from tests.llm import workers
from tests.llm.chat_server import ChatServer
from tests.processes import run, start
from tests.search.workers import environment, until

pytestmark = pytest.mark.usefixtures("transactional_db")


def in_process(call: Any, *arguments: Any, tmp_path: Path, **more: str) -> int:
    output = tmp_path / "output.txt"
    status = run(call, *arguments, environment={**environment(), "TEST_KEY": "a key", **more}, output=output)
    if status > 0:
        print(output.read_text())
    return status


@pytest.mark.parametrize("how", ["rollback", "error", "request", "plain"])
def test_the_row_outlives_the_callers_transaction(
    how: str, server: ChatServer, price: Price, tmp_path: Path
) -> None:
    assert in_process(workers.ask, server.url, how, tmp_path=tmp_path) == 0
    assert not Group.objects.exists()
    row = Call.objects.get()
    assert (row.state, row.outcome, row.cost_micros) == ("settled", "ok", 140)


def test_a_caller_that_is_killed_leaves_a_row_that_lapses_at_its_bound(
    server: ChatServer, price: Price, tmp_path: Path
) -> None:
    server.script = [lambda handler: time.sleep(2)]
    caller = start(
        workers.ask,
        server.url,
        "plain",
        environment={**environment(), "TEST_KEY": "k"},
        output=tmp_path / "output.txt",
    )
    until(lambda: bool(server.seen))
    caller.kill()
    caller.join()
    row = Call.objects.get()
    assert (row.state, row.cost_micros) == ("reserved", None)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    assert ledger.lapse() == 1
    row.refresh_from_db()
    assert (row.state, row.cost_micros, row.usage_source) == ("lapsed", row.bound_micros, "bound")


def test_behind_a_pooler_nothing_is_prepared(server: ChatServer, price: Price, tmp_path: Path) -> None:
    assert in_process(workers.ask, server.url, "pooled", tmp_path=tmp_path) == 0
    assert Call.objects.filter(state="settled").count() == 4


def test_many_threads_share_two_connections(server: ChatServer, price: Price, tmp_path: Path) -> None:
    assert in_process(workers.ask_in_threads, server.url, 8, 5, tmp_path=tmp_path, PGAPPNAME="threads") == 0
    assert Call.objects.filter(state="settled", outcome="ok").count() == len(server.seen) == 40


def test_a_fork_takes_connections_of_its_own(server: ChatServer, price: Price, tmp_path: Path) -> None:
    assert in_process(workers.ask_through_a_fork, server.url, tmp_path=tmp_path) == 0
    assert Call.objects.filter(state="settled", outcome="ok").count() == 3


def test_a_ledger_whose_connections_were_cut_goes_on(
    server: ChatServer, price: Price, tmp_path: Path
) -> None:
    """As after a restart of Postgres: what runs on a broken connection runs again on a new one."""
    assert in_process(workers.ask_after_a_cut, server.url, tmp_path=tmp_path, PGAPPNAME="cut") == 0
    assert Call.objects.filter(state="settled", outcome="ok").count() == 2
