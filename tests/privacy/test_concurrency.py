"""Many sessions at once, and some that are killed: nothing fails, nothing is lost, nothing expired is seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from lockstep.core.retention.holds import hold, release
from lockstep.core.retention.models import LegalHold, Purge
from lockstep.core.retention.sweeping import SweepBusy, sweep
from lockstep.privacy.models import Payload
from tests.migrations.project import server_url
from tests.privacy.rows import TABLE, day_of, partitions, put
from tests.privacy.sessions import keep, sweep_once, together
from tests.privacy.test_holds import held_and_expired
from tests.processes import start

pytestmark = pytest.mark.usefixtures("transactional_db")


def url() -> str:
    return server_url(connection.settings_dict["NAME"])


def session() -> psycopg.Connection[Any]:
    return psycopg.connect(url(), autocommit=True)


def test_eight_sessions_write_into_days_that_have_no_partition() -> None:
    links = [session() for _ in range(8)]
    try:
        for day in range(5, 15):
            results = together([lambda link=link, day=day: keep(link, day) for link in links])
            assert not [result for result in results if isinstance(result, Exception)]
    finally:
        for link in links:
            link.close()
    assert Payload.objects.count() == 80
    assert {f"{TABLE}_{day_of(day)}" for day in range(5, 15)} <= set(partitions())


def test_a_transaction_that_makes_a_partition_locks_no_reader_out() -> None:
    with session() as writer, session() as reader, writer.transaction():
        keep(writer, 5)
        reader.execute("SET lock_timeout = '300ms'")
        assert reader.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (0,)
        keep(reader, 30)


def test_the_purge_works_beside_readers_and_writers() -> None:
    for day in range(1, 9):
        put(-day, count=50, subject="bob")
    held_and_expired(days=-3)
    until = time.monotonic() + 4
    seen: list[Any] = []

    def read() -> int:
        with session() as link:
            rounds = 0
            while time.monotonic() < until:
                seen.append(link.execute(f"SELECT count(*) FROM {TABLE} WHERE subject = 'ann'").fetchone())
                seen.append(
                    (1 + link.execute(f"SELECT count(*) FROM {TABLE} WHERE subject = 'bob'").fetchone()[0],)
                )
                rounds += 1
            return rounds

    def write() -> int:
        with session() as link:
            rounds = 0
            while time.monotonic() < until:
                keep(link, 5 + rounds % 9)
                rounds += 1
            return rounds

    def purge() -> int:
        time.sleep(0.3)
        try:
            return sum(one.rows for one in sweep(TABLE, "default", patience_ms=100))
        finally:
            connection.close()

    *workers, gone, again = together([read, read, write, write, purge, purge])
    assert gone + again == 400
    assert set(seen) == {(1,)}  # what is held at every instant, what has expired at none
    assert min(workers) > 10
    assert Payload.objects.count() == 1 + workers[2] + workers[3]
    assert [row.held for row in Purge.objects.order_by("day")] == [0, 0, 0, 0, 0, 1, 0, 0]


def test_a_long_transaction_holds_the_purge_up_and_the_purge_nobody() -> None:
    put(-2)
    with session() as reader, session() as other, reader.transaction():
        reader.execute(f"SELECT count(*) FROM {TABLE}")
        with pytest.raises(SweepBusy, match="long transaction"):
            list(sweep(TABLE, "default", patience_ms=50, tries=3, sleep=lambda s: None))
        other.execute("SET lock_timeout = '1s'")
        assert other.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (0,)
    assert [one.rows for one in sweep(TABLE, "default")] == [1]


@pytest.mark.parametrize("how", ["client", "server"])
def test_a_purge_that_is_killed_in_the_middle_loses_no_held_row(how: str, tmp_path: Path) -> None:
    call = held_and_expired()
    put(-2, count=20)
    output = tmp_path / "output.txt"
    with session() as blocker:
        with blocker.transaction():
            blocker.execute(
                "LOCK TABLE lockstep_core_purge IN SHARE MODE"
            )  # its evidence has to wait: all else is done
            process = start(sweep_once, url(), TABLE, 60_000, output=output)
            backend = waiting(blocker, output)
            if how == "client":
                process.kill()
            blocker.execute("SELECT pg_terminate_backend(%s)", [backend])
            process.join()
        assert blocker.execute(f"SELECT call::text FROM {TABLE}").fetchall() == [(call,)]
    assert f"{TABLE}_{day_of(-2)}" in partitions()
    assert not [name for name in partitions() if "_next" in name or "_held" in name]
    (done,) = sweep(TABLE, "default")
    assert (done.rows, done.held) == (20, 1)
    assert [str(row.call) for row in Payload.objects.all()] == [call]


def waiting(link: psycopg.Connection[Any], output: Path) -> int:
    """The backend of the purge, once it waits in the middle of its work."""
    for _ in range(600):
        text = output.read_text() if output.exists() else ""
        if text:
            backend = int(text.split()[0])
            found = link.execute(
                "SELECT FROM pg_locks WHERE pid = %s AND NOT granted AND relation = 'lockstep_core_purge'::regclass",
                [backend],
            ).fetchone()
            if found is not None:
                return backend
        time.sleep(0.05)
    raise AssertionError("the purge never got to its evidence")


def test_a_hold_takes_over_at_the_second_of_expiry_for_every_session() -> None:
    (call,) = put(0.00002, subject="ann")  # expires in two seconds
    with session() as reader:
        with reader.transaction():
            reader.execute(f"SELECT count(*) FROM {TABLE}")
            hold(subject="ann", actor="ann", reason="case 7")
        time.sleep(2.5)
        assert reader.execute(f"SELECT call::text FROM {TABLE}").fetchall() == [(call,)]
    release(LegalHold.objects.get().pk, actor="ann", reason="settled")
    assert not Payload.objects.exists()
