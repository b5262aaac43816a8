"""Runs in the admin: how they fare is seen, what they are about only by those who may, and what people do is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lockstep.workflows import start
from lockstep.workflows.models import Run
from tests.workflows.test_runs import sql, went

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_one_commit")]
LIST = "admin:lockstep_workflows_run_changelist"
MARKUP = "<script>alert(1)</script>"
ALL = ("view_run", "change_run", "view_runcontent")


def person(*permissions: str) -> Client:
    user, _ = User.objects.get_or_create(username="bob", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="lockstep_workflows")
    )
    client = Client()
    client.force_login(user)
    return client


def url(run: Run, name: str = "change", *more: str) -> str:
    return reverse(f"admin:lockstep_workflows_run_{name}", args=[run.pk, *more])


def shown(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_run_is_followed_node_by_node() -> None:
    run = went("fails", {"answer": MARKUP})
    text = shown(person(*ALL).get(url(run)))
    for told in (
        "fails",
        "ValueError",
        "the order has no customer",
        "bad",
        "&lt;script&gt;",
        "Go on from where it stood",
    ):
        assert told in text
    assert MARKUP not in text
    state = shown(person(*ALL).get(url(run, "state", run.nodes.last().checkpoint)))
    assert "&quot;ok&quot;" in state


def test_what_it_was_about_is_for_those_who_may() -> None:
    run = went("fails", {"answer": "the secret"})
    text = shown(person("view_run").get(url(run)))
    assert "ValueError" in text
    for hidden in ("the secret", "the order has no customer", "Go on from", "state/"):
        assert hidden not in text
    assert person("view_run").get(url(run, "state", run.nodes.last().checkpoint)).status_code == 403
    assert person("view_wait").get(url(run)).status_code == 403
    assert person("view_run").post(url(run, "retry")).status_code == 403


def test_a_failed_run_goes_on_and_who_said_so_is_written_down() -> None:
    run = went("fails")
    client = person(*ALL)
    assert client.get(url(run, "retry")).status_code == 405
    assert "goes on from where it stood" in shown(client.post(url(run, "retry"), follow=True))
    run.refresh_from_db()
    assert (run.status, run.error) == ("queued", None)
    assert "cannot be tried again" not in shown(client.post(url(run, "retry"), follow=True))
    assert LogEntry.objects.filter(object_id=str(run.pk), user__username="bob").exists()


def test_a_waiting_run_is_cancelled() -> None:
    run = went("review", {"amount": 3})
    client = person(*ALL)
    assert "decide" in shown(client.get(url(run)))
    client.post(url(run, "cancel"))
    run.refresh_from_db()
    assert run.status == "cancelled"
    done = went("linear")
    assert "is succeeded" in shown(client.post(url(done, "retry"), follow=True))


def test_runs_are_found_and_filtered() -> None:
    run = start("linear", {}, thread="order 7", idempotency_key="once")
    went("fails")
    client = person("view_run")
    for term, found in {str(run.pk): 1, "order 7": 1, "once": 1, "nothing": 0, "": 2}.items():
        assert client.get(reverse(LIST), {"q": term}).context["cl"].result_count == found, term
    assert client.get(reverse(LIST), {"status__exact": "failed"}).context["cl"].result_count == 1
    assert client.get(reverse(LIST), {"workflow": "linear"}).context["cl"].result_count == 1


def test_pages_ask_as_often_for_many_runs_as_for_one() -> None:
    client = person(*ALL)
    counts = []
    for size in (1, 6):
        while Run.objects.count() < size:
            run = went("nested")
        with CaptureQueriesContext(
            connection,
        ) as listed:
            client.get(reverse(LIST))
        with CaptureQueriesContext(connection) as paged:
            client.get(url(run))
        counts.append((len(listed), len(paged)))
    assert counts[0] == counts[1]


def test_expired_content_is_said_to_be_gone() -> None:
    run = went("linear")
    sql("UPDATE lockstep_workflows_run SET expires_at = now() - interval '1 day' WHERE id = %s", run.pk)
    assert "has expired" in shown(person(*ALL).get(url(run)))


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_page_of_a_run_fits_a_phone_and_a_desk(live_server: Any, page: Page) -> None:
    run = went("nested")
    client = person(*ALL)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(live_server.url + url(run))
        assert page.locator(".lockstep-nodes tbody tr").count() == 7
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.locator(".lockstep-nodes details summary").first.click()
    assert "steps" in page.locator(".lockstep-nodes details[open] pre").inner_text()
