"""A person is erased from every registered table, once, with a receipt; nobody else is touched."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete

from lockstep.core.ports import Subject
from lockstep.core.pseudonyms import pseudonym, pseudonyms
from lockstep.core.retention.holds import hold, release
from lockstep.core.retention.models import LegalHold
from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.models import Payload, Receipt
from lockstep.privacy.rights import count, erase
from lockstep.privacy.rights.checks import check_subjects
from tests.people.models import Customer, Invoice, Line, Order, Visit
from tests.privacy.people import SHOP, WHO, registered, shopper
from tests.privacy.rows import kept, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Iterator[None]:
    with registered():
        yield


def orders() -> QuerySet[Order]:
    return QuerySet(Order)


def test_the_pseudonym_is_what_the_ledger_always_had() -> None:
    assert pseudonym(42) == "6a222b7c722a9cb37c655af725fcd526"
    assert pseudonym(None) == ""
    assert pseudonyms(None) == []


def test_rows_go_fields_are_emptied_and_links_are_cut_as_each_table_says(shop: None) -> None:
    shopper("c-1", orders=2)
    kept(subject=pseudonym("c-1"))
    receipt = erase("c-1", **WHO)
    assert not Payload.objects.exists()
    assert not Customer.objects.exists()
    assert set(orders().values_list("customer", "address", "total")) == {(None, "", 0)}
    assert [order.tastes for order in orders()] == [{}, {}]
    assert set(Line.objects.values_list("engraving", flat=True)) == {""}
    assert {name: dict(found) for name, found in receipt.counts.items() if any(found.values())} == {
        "lockstep_privacy.Payload": {"erased": 1, "held": 0},
        "people.Customer": {"erased": 1, "held": 0},
        "people.Order": {"blanked": 2, "held": 0},
        "people.Line": {"blanked": 2, "held": 0},
    }


def test_nobody_else_is_touched(shop: None) -> None:
    shopper("c-1"), shopper("c-2", orders=3)
    kept(subject=pseudonym("c-1")), kept(subject=pseudonym("c-2")), kept()
    erase("c-1", **WHO)
    assert [customer.number for customer in Customer.objects.all()] == ["c-2"]
    assert orders().filter(address="street of c-2", customer__number="c-2").count() == 3
    assert Line.objects.filter(engraving="for c-2").count() == 3
    assert sorted(Payload.objects.values_list("subject", flat=True)) == sorted(["", pseudonym("c-2")])


def test_a_second_run_finds_nothing_and_says_so(shop: None) -> None:
    shopper("c-1", orders=2)
    Visit.objects.create(visitor=1)
    kept(subject=pseudonym("c-1"))
    erase("c-1", **WHO)
    again = erase("c-1", **WHO)
    assert set(again.counts) == {*SHOP, *count("c-1")}
    assert not any(any(found.values()) for found in again.counts.values())
    assert Receipt.objects.count() == 2


def test_fields_that_stay_with_their_person_are_emptied_once() -> None:
    shopper("c-1")
    with registered({"people.Order": Subject("people.Order", "customer__number", blank=("address",))}):
        assert erase("c-1", **WHO).total("blanked") == 1
        assert erase("c-1", **WHO).total("blanked") == 0
    assert orders().get().customer.number == "c-1"


def test_the_receipt_says_who_why_and_how_many_and_not_whom(shop: None) -> None:
    shopper("c-1")
    receipt = Receipt.objects.get(pk=erase("c-1", **WHO).pk)
    assert (receipt.kind, receipt.actor, receipt.reason) == ("erasure", "dpo@example.com", "request 12")
    assert receipt.subject == pseudonym("c-1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_privacy_receipt::text FROM lockstep_privacy_receipt")
        assert "c-1" not in cursor.fetchone()[0]
    assert any(sentence.startswith("Backups") for sentence in receipt.beyond)
    assert "Files that portrait of people.Customer named: the rows do not have them." in receipt.beyond


def test_a_receipt_stays_as_it_was_written() -> None:
    erase("c-1", **WHO)
    for change in (
        lambda: Receipt.objects.update(actor="somebody else"),
        lambda: Receipt.objects.all().delete(),
        lambda: Receipt.objects.get().delete(),
    ):
        with pytest.raises(Error, match="stays as it was written"), transaction.atomic():
            change()
    with pytest.raises(IntegrityError), transaction.atomic():
        Receipt.objects.create(kind="erasure", subject=pseudonym(1), actor="")


def test_rows_that_the_default_manager_hides_go_too(shop: None) -> None:
    shopper("c-1", hidden=True)
    assert not Order.objects.exists()
    erase("c-1", **WHO)
    assert orders().get().address == ""


def test_what_hangs_on_a_row_goes_with_it_and_is_counted() -> None:
    shopper("c-1", orders=3)
    with registered({"people.Customer": SHOP["people.Customer"]}):
        receipt = erase("c-1", **WHO)
    assert {name: found["erased"] for name, found in receipt.counts.items() if found.get("erased")} == {
        "people.Customer": 1, "people.Order": 3, "people.Line": 3,
    }  # fmt: skip


def test_a_table_that_keeps_what_should_go_stops_the_whole_erasure() -> None:
    shopper("c-1", orders=2)
    Invoice.objects.create(order=orders().first())
    kept(subject=pseudonym("c-1"))
    with (
        registered({"people.Customer": SHOP["people.Customer"]}),
        pytest.raises(RightsError, match="protected"),
    ):
        erase("c-1", **WHO)
    assert Payload.objects.exists()
    assert Customer.objects.exists()
    assert not Receipt.objects.exists()


def test_a_table_that_goes_as_well_keeps_nothing() -> None:
    shopper("c-1")
    Invoice.objects.create(order=orders().get())
    order_of_registration = {
        "people.Customer": SHOP["people.Customer"],
        "people.Order": Subject("people.Order", "customer__number"),
        "people.Invoice": Subject("people.Invoice", "order__customer__number"),
    }
    with registered(order_of_registration):
        receipt = erase("c-1", **WHO)
    assert receipt.total("erased") == 4


def test_many_rows_with_what_hangs_on_them_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.privacy.rights.erasing.BATCH", 3)
    shopper("c-1", orders=10)
    with registered({"people.Order": Subject("people.Order", "customer__number")}):
        assert erase("c-1", **WHO).counts["people.Line"]["erased"] == 10
    assert not orders().exists()


def test_a_table_whose_trigger_keeps_rows_ends_with_an_error() -> None:
    shopper("c-1")
    with connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        cursor.execute(
            "CREATE TRIGGER kept BEFORE DELETE ON people_line FOR EACH ROW EXECUTE FUNCTION kept()"
        )
    post_delete.connect(watch, sender=Line)
    entries = {"people.Line": Subject("people.Line", "order__customer__number")}
    try:
        with registered(entries), pytest.raises(RightsError, match="does not let its rows go"):
            erase("c-1", **WHO)
    finally:
        post_delete.disconnect(watch, sender=Line)


def test_rows_under_legal_hold_stay_and_the_rest_goes(shop: None) -> None:
    shopper("c-1")
    one, other = (kept(subject=pseudonym("c-1")) for _ in range(2))
    made = hold(model=Payload, key=one, actor="ann", reason="case 7")
    assert count("c-1")["lockstep_privacy.Payload"] == {"erased": 1, "held": 1}
    receipt = erase("c-1", **WHO)
    assert [str(row.pk) for row in Payload.objects.all()] == [one]
    assert receipt.counts["lockstep_privacy.Payload"] == {"erased": 1, "held": 1}
    assert receipt.beyond[0].startswith("Under legal hold, and kept until it is released: 1 of lockstep_priv")
    assert not Customer.objects.exists()
    release(made.pk, actor="ann", reason="settled")
    assert erase("c-1", **WHO).counts["lockstep_privacy.Payload"] == {"erased": 1, "held": 0}
    assert LegalHold.objects.exists()
    assert other != one


def test_everything_about_a_person_can_be_held(shop: None) -> None:
    kept(subject=pseudonym("c-1")), kept(subject=pseudonym("c-1"))
    hold(subject=pseudonym("c-1"), actor="ann", reason="case 7")
    assert erase("c-1", **WHO).counts["lockstep_privacy.Payload"] == {"erased": 0, "held": 2}


def test_the_receipt_says_what_expired_unseen_and_when_it_goes() -> None:
    put(-2, subject=pseudonym("c-1"))
    receipt = erase("c-1", **WHO)
    assert receipt.counts["lockstep_privacy.Payload"] == {"erased": 0, "held": 0}
    (told,) = [one for one in receipt.beyond if "expired" in one]
    assert told.startswith("What had expired of lockstep_privacy.Payload, ")
    assert "nobody can read it any more, and the first purge after" in told
    assert "00:00 UTC drops" in told
    assert told.endswith("Never purged so far.")


def test_people_from_before_a_new_secret_are_found(settings: Any) -> None:
    settings.SECRET_KEY, before = "another", settings.SECRET_KEY
    kept(subject=pseudonym("c-1"))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the third", ["another", before]
    assert erase("c-1", **WHO).counts["lockstep_privacy.Payload"]["erased"] == 1


def test_a_user_is_as_good_as_their_key(django_user_model: Any) -> None:
    user = django_user_model.objects.create(username="ann")
    kept(subject=pseudonym(user))
    assert erase(user, **WHO).total("erased") == 1


@pytest.mark.parametrize("key", ["", "  ", " 7", "7\n", "a\0b", "\udc80", None])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(RightsError):
        erase(key, **WHO)
    assert not Receipt.objects.exists()


@pytest.mark.parametrize(
    "about",
    [{"actor": " "}, {"actor": "a" * 201}, {"actor": "a\0"}, {"actor": "a", "reason": "r" * 1001}],
)
def test_a_receipt_needs_somebody_and_a_reason_that_fits(about: dict[str, Any]) -> None:
    kept(subject=pseudonym("c-1"))
    with pytest.raises(RightsError):
        erase("c-1", **about)
    assert Payload.objects.exists()


@pytest.mark.parametrize("key", ["nobody", "9" * 5000, "-1", str(2**70), "7.0", "<b>"])
def test_whom_nobody_knows_is_not_found(key: str) -> None:
    with registered({"people.Visit": Subject("people.Visit", "visitor")}):
        receipt = erase(key, **WHO)
    assert not any(any(found.values()) for found in receipt.counts.values())


@pytest.mark.parametrize("key", ["007", "\uff17", "+7", "1_0"])
def test_a_key_in_another_spelling_is_no_way_to_somebody_else(key: str) -> None:
    Visit.objects.create(visitor=int(key))
    visits = {"people.Visit": Subject("people.Visit", "visitor")}
    with registered(visits), pytest.raises(RightsError, match=f"writes this key '{int(key)}'"):
        erase(key, **WHO)
    assert Visit.objects.exists()
    assert not Receipt.objects.exists()


def watch(**_: Any) -> None:
    """A receiver, so that Django loads each row."""


WRONG = {
    "a model that is not there": Subject("people.Nobody", "number"),
    "no label": Subject("people", "number"),
    "a lookup that is not there": Subject("people.Order", "client"),
    "a lookup on the way": Subject("people.Order", "client__number"),
    "through what is no relation": Subject("people.Order", "address__number"),
    "into JSON": Subject("people.Order", "tastes__person"),
    "several people": Subject("people.Club", "members__number"),
    "a reverse relation": Subject("people.Customer", "order__address"),
    "ending at one": Subject("people.Customer", "order"),
    "a field that is not there": Subject("people.Order", "customer", fields=("adress",)),
    "a relation to many": Subject("people.Club", "id", fields=("members",)),
    "emptying what is not there": Subject("people.Order", "customer", blank=("adress",)),
    "emptying the key": Subject("people.Order", "customer", blank=("id",)),
    "emptying what must be unique": Subject("people.Customer", "id", blank=("number",)),
    "emptying a date that must be": Subject("people.Visit", "visitor", blank=("always",)),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_entry_that_cannot_be_acted_on_is_refused_before_anything_is_done(wrong: Subject) -> None:
    shopper("c-1")
    with registered({**SHOP, "the wrong one": wrong}):
        (found,) = check_subjects()
        assert found.id == "lockstep_privacy.E010"
        assert "'the wrong one'" in found.msg
        with pytest.raises(RightsError, match="the wrong one"):
            erase("c-1", **WHO)
        with pytest.raises(RightsError, match="the wrong one"):
            count("c-1")
    assert Customer.objects.exists()
    assert check_subjects() == []


def test_every_kind_of_field_can_be_emptied() -> None:
    Visit.objects.create(visitor=7, page="/me", seconds=9, unlike="x")
    blank = ("page", "seconds", "unlike", "visitor")
    with registered({"people.Visit": Subject("people.Visit", "visitor", blank=blank)}):
        erase("7", **WHO)
    assert Visit.objects.values_list("page", "seconds", "unlike", "visitor").get() == ("", 0, None, None)


def test_one_table_may_know_two_people_in_a_row() -> None:
    shopper("c-1")
    entries = {
        "people.Line/for": Subject("people.Line", "engraving", blank=("engraving",)),
        "people.Line": Subject("people.Line", "order__customer__number"),
    }
    with registered(entries):
        assert erase("for c-1", **WHO).counts["people.Line/for"]["blanked"] == 1
        assert erase("c-1", **WHO).counts["people.Line"]["erased"] == 1


def test_a_dry_run_counts_and_changes_nothing(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    shopper("c-1", orders=2)
    kept(subject=pseudonym("c-1"))
    call_command("lockstep_erase", subject="c-1", actor="ann", dry_run=True)
    told = capsys.readouterr().out
    assert "people.Order                             2 emptied" in told
    assert "lockstep_privacy.Payload                 1 erased" in told
    assert "Nothing was changed." in told
    assert Customer.objects.exists()
    assert not Receipt.objects.exists()


def test_the_command_tells_what_it_did(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    shopper("c-1")
    call_command("lockstep_erase", subject="c-1", actor="ann", reason="request 12")
    told = capsys.readouterr().out
    assert "people.Customer                          1 erased" in told
    assert "Backups" in told
    assert f"Receipt {Receipt.objects.get().pk}" in told
    assert "Nothing was found" not in told
    call_command("lockstep_erase", subject="c-1", actor="ann", reason="request 12")
    assert "Nothing was found. Receipt" in capsys.readouterr().out


def test_the_command_says_what_is_wrong() -> None:
    for options in ({"subject": "", "actor": "ann"}, {"subject": "c-1", "actor": " "}):
        with pytest.raises(CommandError):
            call_command("lockstep_erase", **options)
    with pytest.raises(CommandError, match="--actor"):
        call_command("lockstep_erase", "--subject", "c-1")


def test_a_table_that_is_not_migrated_is_told_in_a_line(shop: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE people_line RENAME TO elsewhere")
    for command in ("lockstep_erase", "lockstep_export"):
        with (
            pytest.raises(CommandError, match='refuses: relation "people_line" does not exist'),
            transaction.atomic(),
        ):
            call_command(command, subject="c-1", actor="ann")


def test_a_receipt_is_json_that_anybody_reads(shop: None) -> None:
    receipt = erase("c-1", **WHO)
    assert json.loads(json.dumps(receipt.counts)) == Receipt.objects.get().counts
    assert isinstance(receipt.pk, uuid.UUID)
    assert receipt.at is not None
