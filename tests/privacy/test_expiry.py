"""What has expired cannot be read, whatever job has stopped."""

from __future__ import annotations

import io
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import Error, connection, transaction

from lockstep.privacy.models import Payload
from tests.privacy.rows import TABLE, day_of, kept, partitions, put

pytestmark = pytest.mark.django_db


def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]


def copied(relation: str) -> str:
    found = io.StringIO()
    with connection.cursor() as cursor, cursor.copy(f"COPY {relation} TO STDOUT") as copy:
        for part in copy:
            found.write(bytes(part).decode())
    return found.getvalue()


def test_these_tests_run_as_an_ordinary_role() -> None:
    assert rows("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_an_expired_row_is_read_by_no_way_there_is() -> None:
    live = kept()
    (dead,) = put(-0.5) if time.gmtime().tm_hour >= 13 else put(-1)
    put(-3, count=5)
    assert [str(row.call) for row in Payload.objects.all()] == [live]
    assert not Payload.objects.filter(call=dead).exists()
    assert rows(f"SELECT call::text FROM {TABLE}") == [(live,)]
    assert rows(f"SELECT count(*) FROM {TABLE} WHERE expires_at < now()") == [(0,)]
    assert "expired content" not in copied(f"(SELECT * FROM {TABLE})")
    read = 0
    for name in partitions():
        assert "expired content" not in copied(name)
        read += rows(f"SELECT count(*) FROM {name}")[0][0]
    assert read == 1


def test_a_row_is_gone_at_the_second_it_expires_with_nobody_at_work() -> None:
    call = kept(timedelta(seconds=1))
    assert Payload.objects.filter(call=call).exists()
    time.sleep(1.1)
    # in the transaction that wrote it, whose now() stands still
    assert not Payload.objects.filter(call=call).exists()
    assert rows(f"SELECT count(*) FROM {TABLE} WHERE call = %s", call) == [(0,)]


def test_a_partition_made_on_the_way_hides_what_has_expired() -> None:
    kept(timedelta(days=40))
    kept(timedelta(seconds=1))
    time.sleep(1.1)
    for name in (f"{TABLE}_{day_of(40)}", f"{TABLE}_{day_of(0)}"):
        found = rows("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", name)
        assert found == [(True, True)]
    assert sum(rows(f"SELECT count(*) FROM {name}")[0][0] for name in partitions()) == 1


def test_an_expired_row_can_neither_be_revived_nor_touched() -> None:
    (dead,) = put(-1)
    assert rows(f"UPDATE {TABLE} SET expires_at = now() + interval '1 day' WHERE call = %s", dead) == [(0,)]
    assert rows(f"UPDATE {TABLE} SET request = ''") == [(0,)]
    assert rows(f"DELETE FROM {TABLE}") == [(0,)]
    for name in partitions():
        assert rows(f"UPDATE {name} SET expires_at = now() + interval '1 day'") == [(0,)]
        assert rows(f"DELETE FROM {name}") == [(0,)]


@pytest.mark.parametrize("days", [90.1, 400, -0.001])
def test_no_row_is_written_beyond_the_policy(days: float) -> None:
    with pytest.raises(Error, match=r"row-level security|no partition"), transaction.atomic():
        kept(timedelta(days=days))
    kept()
    with pytest.raises(Error, match=r"row-level security|no partition"), transaction.atomic():
        rows(
            f"INSERT INTO {TABLE} SELECT gen_random_uuid(), at, at + %s, feature, subject, policy, detectors, request,"
            f" response, entities, encryption FROM {TABLE}",
            timedelta(days=days),
        )
    put(100)
    for name in partitions():
        with pytest.raises(Error, match=r"row-level security|violates partition"), transaction.atomic():
            rows(
                f"INSERT INTO {name} SELECT gen_random_uuid(), at + interval '20 days', now() + %s, feature, subject,"
                f" policy, detectors, request, response, entities, encryption FROM {TABLE} LIMIT 1",
                timedelta(days=days),
            )


@pytest.mark.parametrize(
    "change",
    [
        "expires_at = expires_at + interval '1 second'",
        "at = at + interval '1 day'",
        "call = gen_random_uuid()",
    ],
)
def test_a_lifetime_does_not_grow_by_an_update(change: str) -> None:
    kept()
    with pytest.raises(Error, match="kept longer"), transaction.atomic():
        rows(f"UPDATE {TABLE} SET {change}")


def test_a_lifetime_may_be_shortened_and_a_row_erased() -> None:
    call = kept(timedelta(hours=30), subject="ann")
    kept(timedelta(hours=1))
    assert rows(
        f"UPDATE {TABLE} SET expires_at = expires_at - interval '10 minutes' WHERE call = %s", call
    ) == [(1,)]
    assert Payload.objects.filter(subject="ann").delete()[0] == 1
    assert Payload.objects.count() == 1


def test_a_row_of_no_policy_is_refused_whatever_other_policies_allow() -> None:
    (dead,) = put(-1)
    rows(f"CREATE POLICY tenants ON {TABLE} USING (true) WITH CHECK (true)")
    assert rows(f"SELECT count(*) FROM {TABLE} WHERE call = %s", dead) == [(0,)]
    with pytest.raises(Error, match="lockstep_lifetime"), transaction.atomic():
        kept(timedelta(days=91))
