"""Asking for a refund, and who sees how far it is."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.test import Client

from demo.orders.models import Order, Refund
from lockstep.workflows.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PATH = "/orders/LS-20117/"


def runs() -> QuerySet[Run]:
    """Those of the order at ``PATH``; the browser's tests have left others behind."""
    return Run.objects.filter(idempotency_key__startswith="LS-20117 ")


def refunds() -> QuerySet[Refund]:
    return Refund.objects.filter(order__number="LS-20117")


def form(**changes: Any) -> dict[str, Any]:
    return {"reason": "It came broken.", "key": str(uuid4())} | changes


@pytest.fixture
def stranger(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="eve"))
    return client


def test_asking_leads_to_the_page_of_the_run(client: Client, alice: User) -> None:
    response = client.post(PATH, form())
    run = runs().get()
    assert (response.status_code, response.url) == (302, f"/refunds/{run.pk}/")
    assert (run.user_id, run.input["reason"]) == (str(alice.pk), "It came broken.")
    page = client.get(response.url).content.decode()
    assert "In the queue." in page
    assert "data-live" in page


def test_the_same_sheet_sent_twice_asks_once(client: Client) -> None:
    sheet = form()
    first, second = client.post(PATH, sheet), client.post(PATH, sheet)
    assert first.url == second.url
    assert (runs().count(), refunds().count()) == (1, 1)


@pytest.mark.parametrize("other", [{"key": str(uuid4())}, {"reason": "I want it twice."}])
def test_a_second_refund_of_an_order_starts_no_run(client: Client, other: dict[str, str]) -> None:
    sheet = form()
    client.post(PATH, sheet)
    response = client.post(PATH, sheet | other, follow=True)
    assert "was asked for already" in response.content.decode()
    assert (runs().count(), refunds().count()) == (1, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "a\0b"}, {"key": ""}, {"key": "x"}],
)
def test_what_makes_no_sense_starts_nothing(client: Client, wrong: dict[str, str]) -> None:
    assert client.post(PATH, form() | wrong).status_code == 400
    assert not runs().exists()


def test_only_the_customer_and_staff_see_an_order_and_its_refund(
    client: Client, stranger: Client, as_bob: Client
) -> None:
    mine = Client()
    page = mine.post(PATH, form()).url
    for path in (PATH, page):
        assert [one.get(path).status_code for one in (mine, as_bob, stranger)] == [200, 200, 404]
    assert stranger.post(PATH, form()).status_code == 404
    assert stranger.post(f"{PATH}again/").status_code == 404
    assert "LS-20117" not in stranger.get("/orders/").content.decode()
    assert "LS-20101" not in mine.get("/orders/").content.decode()  # Bob's


def test_a_refund_of_nobody_is_not_found(client: Client) -> None:
    assert client.get(f"/refunds/{uuid4()}/").status_code == 404


def test_the_list_costs_the_same_however_many_orders_there_are(
    client: Client, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(4):
        client.get("/orders/")
    for _ in range(20):
        Order.objects.get(number="LS-20117").placed_again()
    with django_assert_num_queries(4):
        client.get("/orders/")


def test_a_reason_brings_no_markup_of_its_own(client: Client) -> None:
    page = client.post(PATH, form(reason="<script>alert(1)</script>"), follow=True).content.decode()
    assert not re.search(r"<script>alert", page)


def test_nobody_is_taken_for_alice_where_runs_are_decided(client: Client) -> None:
    assert client.get("/admin/lockstep_workflows/wait/").status_code == 302
    assert client.get("/lockstep/reviews/none/").status_code in (302, 404)
