"""Receipts in the admin: to find by a person's key, to read, and never to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lockstep.core.pseudonyms import pseudonym
from lockstep.core.retention.holds import hold
from lockstep.privacy.models import Payload, Receipt
from lockstep.privacy.rights import erase, export, guards
from tests.privacy.people import registered, shopper
from tests.privacy.rows import kept

pytestmark = pytest.mark.django_db
LIST = "admin:lockstep_privacy_receipt_changelist"
MARKUP = "<script>alert(1)</script>"


def person(*permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(receipt: Receipt) -> str:
    return reverse("admin:lockstep_privacy_receipt_change", args=[receipt.pk])


def shown(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_receipts_are_listed_and_read() -> None:
    shopper("c-1", orders=2)
    call = kept(subject=pseudonym("c-1"))
    hold(model=Payload, key=call, actor="ann", reason="case 7")
    with registered():
        erased = erase("c-1", actor=MARKUP, reason=MARKUP)
        export("c-1", lambda text: None, actor="ann")
    client = person("view_receipt")
    listed = shown(client.get(reverse(LIST)))
    assert "Receipts" in listed
    assert "1 erased, 4 emptied, 1 kept under legal hold" in listed
    assert "1 held" in listed
    assert listed.count(pseudonym("c-1")) == 2
    text = shown(client.get(page(erased)))
    for told in ("people.Order", "2 emptied", "Under legal hold", "Backups", str(erased.pk)):
        assert told in text
    assert MARKUP not in listed + text


def test_a_receipt_is_found_by_the_key_of_its_person() -> None:
    erase("c-1", actor="ann"), erase("c-2", actor="bea")
    client = person("view_receipt")
    for term, found in {"c-1": 1, pseudonym("c-2"): 1, "bea": 1, "c-3": 0, "%": 0, "": 2}.items():
        assert client.get(reverse(LIST), {"q": term}).context["cl"].result_count == found, term


def test_nobody_changes_adds_or_deletes_a_receipt() -> None:
    receipt = erase("c-1", actor="ann")
    client = person("view_receipt", "add_receipt", "change_receipt", "delete_receipt")
    assert client.get(reverse("admin:lockstep_privacy_receipt_add")).status_code == 403
    assert client.post(page(receipt), {"actor": "bob"}).status_code == 405
    assert client.get(page(Receipt())).status_code == 404
    assert client.get(page(Receipt(pk="no-key"))).status_code == 404
    delete = reverse("admin:lockstep_privacy_receipt_delete", args=[receipt.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert Receipt.objects.get().actor == "ann"


def test_only_those_who_may_see_receipts() -> None:
    receipt = erase("c-1", actor="ann")
    client = person("view_payload")
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(page(receipt)).status_code == 403


def test_many_receipts_take_as_many_queries_as_few(django_assert_num_queries: Any) -> None:
    client = person("view_receipt")
    erase("c-1", actor="ann")
    with CaptureQueriesContext(connection) as few:
        client.get(reverse(LIST))
    for number in range(40):
        erase(f"c-{number}", actor="ann")
    with django_assert_num_queries(len(few)):
        client.get(reverse(LIST))


def test_receipts_are_not_truncated_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "made_by_test_runner", lambda connection: False)
    guards.install(using="default")
    for _ in range(2):
        guards.install(using="default")
    with (
        pytest.raises(IntegrityError, match="stays as it was written"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("TRUNCATE lockstep_privacy_receipt")


@pytest.fixture
def boss(live_server: Any) -> Iterator[str]:
    """Cookie of somebody who may see everything; nothing of them stays."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    yield client.cookies["sessionid"].value
    User.objects.all().delete()
    Session.objects.all().delete()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_the_pages_fit_the_screen(page: Any, live_server: Any, boss: str, width: int) -> None:
    shopper("c-1")
    with registered():
        receipt = erase("c-1", actor="dpo@example.com", reason="request 12 " * 20)
    page.set_viewport_size({"width": width, "height": 900})
    page.context.add_cookies([{"name": "sessionid", "value": boss, "url": live_server.url}])
    page.goto(f"{live_server.url}{reverse(LIST)}?q=c-1")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.locator("#result_list tbody tr th a").first.click()
    assert page.locator("text=Not reached").count() == 1
    assert page.locator(f"text={receipt.subject}").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
