"""The server is killed under load: what was settled is there, and of reservations only the last second may be gone."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.budgets import workers
from tests.processes import run, start
from tools.services.exceptions import ServiceMissing
from tools.services.places import service_account
from tools.services.postgres import Postgres

CALLERS = 4
LAST_S = 1.0
"""Reservations of so long before the crash may be missing: three times wal_writer_delay, and some."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """One of the test's own that waits for the disk, as the tests' own does not."""
    monkeypatch.delenv("KEEP", raising=False)
    with tempfile.TemporaryDirectory(prefix="lockstep") as room:
        Path(room).chmod(0o755)
        account = service_account()
        folder = Path(room) / "server"
        assert account.own(folder)
        server = Postgres("demo", folder, account)
        try:
            server.start()
        except ServiceMissing as missing:
            pytest.skip(str(missing))
        yield server
        server.remove()


def test_a_killed_server_loses_no_settlement_and_only_the_last_reservations(
    server: Postgres, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": server.url(), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    said = tmp_path / "tables.txt"
    assert run(workers.make_tables, environment=environment, output=said) == 0, said.read_text()
    files = [tmp_path / f"{seed}.txt" for seed in range(CALLERS)]
    callers = [
        start(workers.go_on, seed, environment=environment, output=file) for seed, file in enumerate(files)
    ]
    deadline = time.monotonic() + 120
    while any(not file.exists() or file.read_text().count("settled") < 100 for file in files):
        assert time.monotonic() < deadline, [file.read_text()[-500:] for file in files if file.exists()]
        time.sleep(0.05)
    time.sleep(2 * LAST_S)  # so that there are reservations which must not be lost
    killed_at = time.monotonic()
    os.kill(int((server.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    for caller in callers:  # they would ask for it for half a minute
        caller.kill()
        caller.join()
    lines = [line.split() for file in files for line in file.read_text().splitlines()]

    with psycopg.connect(server.start(), autocommit=True) as link:
        rows = {
            str(call): (state, tokens)
            for call, state, tokens in link.execute(
                "SELECT id, state, input_tokens + output_tokens FROM lockstep_llm_call"
            )
        }
        settled = {call: int(tokens) for what, call, tokens in lines_of("settled", lines)}
        reserved = {call: float(at) for what, call, at in lines_of("reserved", lines)}
        assert {call: rows.get(call) for call in settled} == {
            call: ("settled", tokens) for call, tokens in settled.items()
        }
        missing = reserved.keys() - rows.keys()
        assert all(reserved[call] > killed_at - LAST_S for call in missing)
        assert drift(link) == []

        unsettled = [call for call in reserved if call not in settled]
        assert unsettled
        assert run(workers.come_back, unsettled, environment=environment, output=said) == 0, said.read_text()
        assert link.execute("SELECT count(*) FROM lockstep_llm_call WHERE state = 'settled'").fetchone() == (
            len(reserved.keys() | rows.keys()) - never_told(rows, reserved),
        )
        assert drift(link) == []


def lines_of(what: str, lines: list[list[str]]) -> list[list[str]]:
    return [line for line in lines if line[0] == what]


def never_told(rows: dict[str, tuple[str, int]], reserved: dict[str, float]) -> int:
    """Reservations that were written while the server died: their callers never heard of them."""
    return sum(state == "reserved" and call not in reserved for call, (state, _) in rows.items())


def drift(link: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    rows = link.execute("SELECT * FROM lockstep_budgets_drift_v1('-infinity')").fetchall()
    assert rows
    return [row for row in rows if row[1] != row[2] or row[3] != row[4]]
