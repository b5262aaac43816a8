"""What a person is given: everything that is kept of them, nothing of others, and readable."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lockstep.core.ports import Subject
from lockstep.core.pseudonyms import pseudonym
from lockstep.core.redacted import SEAL, Redacted
from lockstep.privacy import payloads
from lockstep.privacy.encryption import encrypt
from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.models import Payload, Receipt
from lockstep.privacy.rights import export
from tests.people.models import Customer, Order, Visit
from tests.privacy.people import SHOP, WHO, registered, shopper
from tests.privacy.rows import kept, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Iterator[None]:
    with registered():
        yield


def exported(key: Any = "c-1") -> dict[str, Any]:
    pieces: list[str] = []
    export(key, pieces.append, **WHO)
    document: dict[str, Any] = json.loads("".join(pieces))
    return document


def test_every_table_has_its_rows_and_only_those_of_the_person(shop: None) -> None:
    customer = shopper("c-1", orders=2, hidden=True)
    shopper("c-2")
    kept(subject=pseudonym("c-1")), kept(subject=pseudonym("c-2"))
    found = exported()
    tables = found["tables"]
    assert tables["people.Customer"] == [
        {"id": customer.pk, "number": "c-1", "name": "name of c-1", "portrait": ""}
    ]
    assert [row["tastes"] for row in tables["people.Order"]] == [{"tea": True}] * 2
    assert {row["customer_id"] for row in tables["people.Order"]} == {customer.pk}
    assert [row["engraving"] for row in tables["people.Line"]] == ["for c-1"] * 2
    (content,) = tables["lockstep_privacy.Payload"]
    assert (content["request"], content["entities"]) == ("my number is [NHS_1]", {"NHS": 2})
    assert content["expires_at"]
    assert list(tables) == sorted(tables)
    assert "c-2" not in json.dumps(found)
    assert (found["person"], found["pseudonym"]) == ("c-1", pseudonym("c-1"))
    assert any("expired" in sentence for sentence in found["beyond"])


def test_the_same_state_gives_the_same_rows_in_the_same_order(shop: None) -> None:
    shopper("c-1", orders=20)
    for _ in range(5):
        kept(subject=pseudonym("c-1"))
    assert json.dumps(exported()["tables"]) == json.dumps(exported()["tables"])
    keys = [row["id"] for row in exported()["tables"]["people.Order"]]
    assert keys == sorted(keys)


def test_only_the_fields_that_are_named_are_shown() -> None:
    shopper("c-1")
    with registered({"people.Order": Subject("people.Order", "customer__number", fields=("address",))}):
        assert exported()["tables"]["people.Order"] == [{"address": "street of c-1"}]


def test_a_table_may_show_its_rows_itself() -> None:
    shopper("c-1")
    shown = Subject("people.Order", "customer__number", show=lambda order: {"where": order.address.upper()})
    with registered({"people.Order": shown}):
        assert exported()["tables"]["people.Order"] == [{"where": "STREET OF C-1"}]


def test_an_export_changes_nothing_and_leaves_a_receipt(shop: None) -> None:
    shopper("c-1", orders=2)
    found = exported()
    receipt = Receipt.objects.get()
    assert str(receipt.pk) == found["receipt"]
    assert (receipt.kind, receipt.subject, receipt.actor) == ("export", pseudonym("c-1"), WHO["actor"])
    assert receipt.counts["people.Order"] == {"exported": 2}
    assert receipt.total("exported") == 5
    assert Customer.objects.exists()
    assert set(receipt.counts) == {*SHOP, *found["tables"]}


def test_what_has_expired_is_not_exported() -> None:
    put(-2, subject=pseudonym("c-1"))
    assert exported()["tables"]["lockstep_privacy.Payload"] == []


def test_whom_nobody_knows_gets_an_empty_document(shop: None) -> None:
    assert not any(exported("nobody")["tables"].values())


def test_what_is_awkward_to_write_is_written(shop: None) -> None:
    shopper("c-1")
    quote = 'a "quote"\n\u2028 </script> \U0001f9fe \\ \x1f'
    Order.objects.update(address=quote)
    assert exported()["tables"]["people.Order"][0]["address"] == quote


def sealed(text: str) -> Redacted:
    return Redacted(encrypt(text), seal=SEAL, counts={}, version="1", policy="redact_encrypt", encrypted=True)


def test_encrypted_content_is_opened_where_the_key_is(settings: Any) -> None:
    fernet = pytest.importorskip("cryptography.fernet")
    key, other = (fernet.Fernet.generate_key().decode() for _ in range(2))
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"encryption_keys": [key]}}
    payloads.keep("00000000-0000-7000-8000-000000000001", sealed("my order"), subject=pseudonym("c-1"))
    (row,) = exported()["tables"]["lockstep_privacy.Payload"]
    assert (row["request"], row["response"]) == ("my order", "")
    assert "unreadable" not in row
    for keys in ([other], []):
        settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"encryption_keys": keys}}
        (row,) = exported()["tables"]["lockstep_privacy.Payload"]
        assert row["request"] is None
        assert row["unreadable"].startswith("Encrypted: ")


def test_a_document_goes_to_a_new_file_that_only_its_owner_reads(
    shop: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shopper("c-1")
    file = tmp_path / "c-1.json"
    before = os.umask(0)
    try:
        call_command("lockstep_export", subject="c-1", actor="ann", output=file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["tables"]["people.Customer"]
    told = capsys.readouterr()
    assert told.out == ""
    assert f"3 rows. Receipt {Receipt.objects.get().pk}" in told.err


def test_no_file_is_overwritten_nor_written_through(shop: None, tmp_path: Path) -> None:
    file, link, nowhere = tmp_path / "there.json", tmp_path / "link.json", tmp_path / "no" / "such.json"
    file.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere.json")
    for place in (file, link, nowhere, tmp_path, tmp_path / "a\0b"):
        with pytest.raises(CommandError, match="Nothing was exported"):
            call_command("lockstep_export", subject="c-1", actor="ann", output=place)
    assert file.read_text() == "mine"
    assert not (tmp_path / "elsewhere.json").exists()
    assert not Receipt.objects.exists()


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "c-1.json"
    shopper("c-1")
    entry = Subject("people.Order", "customer__number", show=lambda order: {"half": 1 / 0})
    with registered({"people.Order": entry}), pytest.raises(ZeroDivisionError):
        call_command("lockstep_export", subject="c-1", actor="ann", output=file)
    with pytest.raises(CommandError):
        call_command("lockstep_export", subject=" ", actor="ann", output=file)
    assert list(tmp_path.iterdir()) == []
    assert not Receipt.objects.exists()


def test_the_terminal_gets_the_document_and_nothing_else(
    shop: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shopper("c-1")
    call_command("lockstep_export", subject="c-1", actor="ann")
    told = capsys.readouterr()
    assert json.loads(told.out)["tables"]["people.Customer"]
    assert "Receipt" in told.err


def test_a_key_in_another_spelling_is_refused_before_a_word_is_written() -> None:
    Visit.objects.create(visitor=7)
    pieces: list[str] = []
    with registered({"people.Visit": Subject("people.Visit", "visitor")}), pytest.raises(RightsError):
        export("007", pieces.append, **WHO)
    assert pieces == []


def test_rows_are_not_all_in_memory_at_once(shop: None, django_assert_num_queries: Any) -> None:
    shopper("c-1", orders=5)
    seen = []
    export("c-1", lambda text: seen.append(len(text)), **WHO)
    assert max(seen) < 700
    assert not Payload.objects.exists()
