"""Disk comes back by whole days, and each leaves evidence."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lockstep.core.models import Notice
from lockstep.core.retention.evidence import evidence
from lockstep.core.retention.models import ExpiringTable, Purge
from lockstep.core.retention.sweeping import sweep
from tests.privacy.rows import TABLE, day_of, kept, partitions, put

pytestmark = pytest.mark.django_db


def disk() -> int:
    return evidence(TABLE, "default").bytes_on_disk


def test_a_purge_that_was_stopped_catches_up_and_the_disk_returns() -> None:
    live = kept()
    before, first = disk(), partitions()
    for day in range(1, 6):
        put(-day, count=40, text=f"{day}" * 20_000)
    full = evidence(TABLE, "default")
    assert (full.rows, full.expired_visible, full.expired_partitions) == (1, 0, 5)
    assert full.bytes_on_disk > before
    assert full.is_late
    assert not full.leaks
    gone = list(sweep(TABLE, "default"))
    assert [(one.partition, one.rows) for one in gone] == [
        (f"{TABLE}_{day_of(-day)}", 40) for day in range(5, 0, -1)
    ]
    assert disk() == before
    assert partitions() == first
    rows = Purge.objects.order_by("id")
    assert [(row.partition, row.rows, row.held, row.by) for row in rows] == [
        (one.partition, 40, 0, connection.settings_dict["USER"]) for one in gone
    ]
    assert all(row.size_bytes > 0 for row in rows)
    after = evidence(TABLE, "default")
    assert (after.rows, after.expired_partitions, after.is_late) == (1, 0, False)
    assert live


def test_the_day_that_runs_is_not_dropped() -> None:
    kept(timedelta(seconds=1))
    names = partitions()
    assert list(sweep(TABLE, "default")) == []
    assert partitions() == names


def test_an_insert_makes_a_missing_partition_and_says_so_when_nobody_purges() -> None:
    def missing() -> None:
        with connection.cursor() as cursor:
            for name in partitions():
                cursor.execute(f"DROP TABLE {name}")

    missing()
    assert kept()
    assert Notice.objects.count() == 0
    ExpiringTable.objects.update(swept_at="2026-01-01T00:00Z")
    missing()
    assert kept()
    told = Notice.objects.get()
    assert (told.topic, told.severity, told.resolves) == ("retention.unswept", "warning", False)
    assert kept(timedelta(days=12.5))
    assert {(one.dedup_key) for one in Notice.objects.all()} == {told.dedup_key}
    list(sweep(TABLE, "default"))
    assert Notice.objects.filter(resolves=True, dedup_key=told.dedup_key).count() == 1
    assert partitions()[-3:] == [f"{TABLE}_{day_of(30 + more)}" for more in range(3)]


def test_the_command_tells_monitors_how_it_stands() -> None:
    put(-2)
    out = StringIO()
    with pytest.raises(CommandError) as late:
        call_command("lockstep_retention", "status", stdout=out)
    assert late.value.returncode == 1
    call_command("lockstep_retention", "purge", stdout=out)
    call_command("lockstep_retention", "status", stdout=out)
    assert "1 rows gone" in out.getvalue()
    put(-2)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE}_{day_of(-2)} NO FORCE ROW LEVEL SECURITY")
        with pytest.raises(CommandError) as leak:
            call_command("lockstep_retention", "status", stdout=out)
        assert leak.value.returncode == 2
        cursor.execute(f"ALTER TABLE {TABLE}_{day_of(-2)} FORCE ROW LEVEL SECURITY")
        cursor.execute(f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY")
        with pytest.raises(CommandError) as leak:
            call_command("lockstep_retention", "status", stdout=out)
        assert leak.value.returncode == 2
    assert evidence(TABLE, "default").expired_visible == 1


def test_the_command_holds_and_releases() -> None:
    call = kept(subject="ann")
    out = StringIO()
    call_command("lockstep_retention", "hold", "lockstep_privacy.Payload", "--key", call, "--actor", "ann",
                 "--reason", "case 7", stdout=out)  # fmt: skip
    call_command(
        "lockstep_retention", "hold", "--subject", "bob", "--actor", "ann", "--reason", "case 8", stdout=out
    )
    number = out.getvalue().split()[1]
    call_command("lockstep_retention", "release", number, "--actor", "bob", "--reason", "settled", stdout=out)
    out = StringIO()
    call_command("lockstep_retention", "holds", stdout=out)
    assert "all tables: bob" in out.getvalue()
    assert call not in out.getvalue()
    with pytest.raises(CommandError, match="in force"):
        call_command(
            "lockstep_retention", "release", "999", "--actor", "bob", "--reason", "settled", stdout=out
        )
