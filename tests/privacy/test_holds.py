"""A legal hold beats expiry, and is itself on record."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import Error, connection, transaction

from lockstep.core.retention.holds import HoldError, hold, release
from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge
from lockstep.core.retention.sweeping import sweep
from lockstep.privacy.models import Payload
from tests.privacy.rows import TABLE, day_of, kept, partitions, put

pytestmark = pytest.mark.django_db

WHO = {"actor": "ann", "reason": "case 7"}


def back_in_time(days: float) -> None:
    """Holds are so many days older, as if made before the rows expired. The owner can, with triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM lockstep_core_partitions_v1(%s)", [TABLE])
        cursor.execute("ALTER TABLE lockstep_core_legalhold DISABLE TRIGGER lockstep_record")
        cursor.execute("UPDATE lockstep_core_legalhold SET at = at - %s * interval '1 day'", [days])
        cursor.execute("ALTER TABLE lockstep_core_legalhold ENABLE TRIGGER lockstep_record")


def held_and_expired(subject: str = "ann", days: float = -2) -> str:
    """A row that a hold of before its expiry keeps."""
    (call,) = put(days, subject=subject)
    hold(subject=subject, **WHO)
    back_in_time(-days + 1)
    return call


def readable() -> set[str]:
    return {str(call) for call in Payload.objects.values_list("call", flat=True)}


def test_a_row_under_hold_stays_readable_after_its_time_by_every_way() -> None:
    call = held_and_expired()
    put(-2, count=3, subject="bob")
    assert readable() == {call}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT call::text FROM {TABLE}_{day_of(-2)}")
        assert cursor.fetchall() == [(call,)]


def test_a_hold_brings_nothing_back_that_had_expired() -> None:
    (call,) = put(-2, subject="ann")
    hold(subject="ann", **WHO)
    hold(model=Payload, key=call, **WHO)
    assert readable() == set()


def test_the_purge_moves_held_rows_first_and_drops_the_rest() -> None:
    call = held_and_expired()
    put(-2, count=30, text="x" * 4000)
    (done,) = sweep(TABLE, "default")
    assert (done.rows, done.held) == (30, 1)
    assert f"{TABLE}_{day_of(-2)}_held" in partitions()
    assert f"{TABLE}_{day_of(-2)}" not in partitions()
    row = Payload.objects.get()
    assert (str(row.call), row.request) == (call, "expired content")
    assert list(sweep(TABLE, "default")) == []
    assert readable() == {call}


def test_a_released_row_is_hidden_at_once_and_goes_with_the_next_purge() -> None:
    call = held_and_expired()
    other = held_and_expired("bob")
    list(sweep(TABLE, "default"))
    assert readable() == {call, other}
    release(LegalHold.objects.get(subject="ann").pk, actor="bob", reason="settled")
    assert readable() == {other}
    (done,) = sweep(TABLE, "default")
    assert (done.rows, done.held) == (1, 1)
    release(LegalHold.objects.get(subject="bob").pk, actor="bob", reason="settled")
    (done,) = sweep(TABLE, "default")
    assert (done.rows, done.held) == (1, 0)
    assert not [name for name in partitions() if "held" in name]


def test_what_is_held_can_neither_be_changed_nor_erased() -> None:
    call = kept(subject="ann")
    hold(model=Payload, key=call.upper(), **WHO)
    expired = held_and_expired("bob")
    for row in (call, expired):
        with pytest.raises(Error, match="under legal hold"), transaction.atomic():
            Payload.objects.filter(call=row).delete()
    with pytest.raises(Error, match="under legal hold"), transaction.atomic():
        Payload.objects.filter(call=call).update(request="")
    assert Payload.objects.filter(call=expired).update(request="") == 0
    release(LegalHold.objects.get(key=call).pk, actor="bob", reason="settled")
    assert Payload.objects.filter(call=call).delete()[0] == 1


def test_a_hold_covers_what_is_written_about_the_person_later() -> None:
    hold(subject="ann", model=Payload, **WHO)
    kept(subject="ann")
    with pytest.raises(Error, match="under legal hold"), transaction.atomic():
        Payload.objects.all().delete()


def test_two_rows_of_one_call_are_not_needed_to_move_a_day_twice() -> None:
    calls = {held_and_expired("ann"), *put(-2, count=2, subject="ann")}
    for _ in range(3):
        list(sweep(TABLE, "default"))
        assert readable() == calls
    assert Purge.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "ann", "actor": " ", "reason": "r"},
        {"subject": "ann", "actor": "a", "reason": ""},
        {"actor": "a", "reason": "r"},
        {"key": "7", "actor": "a", "reason": "r"},
        {"key": "7", "model": Payload, "actor": "a", "reason": "r"},
        {"subject": "ann", "model": ExpiringTable, "actor": "a", "reason": "r"},
        {"key": str(uuid.uuid4()), "subject": "ann", "model": Payload, "actor": "a", "reason": "r"},
    ],
)
def test_a_hold_says_what_who_and_why(wrong: dict[str, Any]) -> None:
    with pytest.raises(HoldError):
        hold(**wrong)


def test_the_record_of_holds_and_purges_stays_as_it_was_written() -> None:
    held_and_expired()
    list(sweep(TABLE, "default"))
    made = LegalHold.objects.get()
    for change in (
        lambda: LegalHold.objects.update(reason="another"),
        lambda: LegalHold.objects.update(at=made.at.replace(year=2020)),
        lambda: LegalHold.objects.all().delete(),
        lambda: LegalHold.objects.update(released_at=made.at, released_by="", release_reason=""),
        lambda: Purge.objects.update(rows=0),
        lambda: Purge.objects.all().delete(),
    ):
        with pytest.raises(Error, match="stays as it was written"), transaction.atomic():
            change()
    release(made.pk, actor="bob", reason="settled")
    with pytest.raises(Error, match="stays as it was written"), transaction.atomic():
        LegalHold.objects.update(released_at=None)
    with pytest.raises(HoldError, match="in force"):
        release(made.pk, actor="bob", reason="again")


def test_the_date_of_a_hold_cannot_be_chosen() -> None:
    (call,) = put(-2, subject="ann")
    made = LegalHold.objects.create(subject="ann", at="2020-01-01T00:00Z", **WHO)
    made.refresh_from_db()
    assert made.at.year > 2020
    assert call not in readable()
