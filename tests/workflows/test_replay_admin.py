"""Replays and exports from the page of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from lockstep.testing.workflows import run_inline
from lockstep.workflows.models import Run, RunExport
from tests.workflows.test_replay import changing, declared  # noqa: F401
from tests.workflows.test_runs_admin import person, shown, url
from tests.workflows.test_transfer import moved

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_one_commit")]
ALL = ("view_run", "change_run", "view_runcontent", "export_run")


def test_a_replay_is_shown_with_its_first_difference() -> None:
    run = run_inline("replayed", {})
    client = person(*ALL)
    assert client.get(url(run, "replay")).status_code == 405
    text = shown(client.post(url(run, "replay")))
    assert "3 nodes came to the same." in text
    assert "lockstep-first" not in text
    changing.add("second")
    text = shown(client.post(url(run, "replay")))
    assert (
        "The first difference is node &#x27;second&#x27;, step 2: what it writes differs, in steps." in text
    )
    assert text.count("lockstep-first") == 1


def test_what_cannot_be_replayed_is_said_on_the_page() -> None:
    run = run_inline("linear", {})
    Run.objects.filter(pk=run.pk).update(version="0")
    assert "no version &#x27;0&#x27; here" in shown(person(*ALL).post(url(run, "replay"), follow=True))


@pytest.mark.parametrize(
    ("mode", "permission"),
    [("exact", "export_run"), ("redacted", "view_runcontent"), ("replay", "change_run")],
)
def test_each_takes_its_permission(mode: str, permission: str) -> None:
    run = run_inline("linear", {})
    place = url(run, "replay") if mode == "replay" else url(run, "export", mode)
    others = [name for name in ALL if name != permission]
    assert person(*others).post(place).status_code == 403
    assert place not in shown(person(*others).get(url(run)))
    assert not RunExport.objects.exists()
    client = person("view_run", permission)
    assert place in shown(client.get(url(run)))
    assert client.get(place).status_code == 405
    assert client.post(place).status_code == 200
    assert person(permission).post(place).status_code == (403 if permission != "view_run" else 200)


def test_an_export_is_a_file_and_on_record() -> None:
    run = run_inline("linear", {"answer": "the secret"})
    client = person(*ALL)
    answer = client.post(url(run, "export", "exact"))
    assert answer["Content-Disposition"] == f'attachment; filename="run-{run.pk}-exact.json"'
    assert "the secret" in json.dumps(json.loads(answer.content))
    assert "the secret" not in client.post(url(run, "export", "redacted")).content.decode()
    assert client.post(url(run, "export", "whole")).status_code == 403
    assert [(row.mode, row.actor) for row in RunExport.objects.order_by("id")] == [
        ("exact", "bob"), ("redacted", "bob"),
    ]  # fmt: skip
    assert LogEntry.objects.filter(object_id=str(run.pk)).count() == 2
    assert "exact by bob" in shown(client.get(url(run)))


def test_an_imported_run_says_where_it_comes_from() -> None:
    here = moved(run_inline("linear", {}))
    text = shown(person(*ALL).get(url(here)))
    for told in ("imported", "it stood at succeeded when ann exported it", "by ben, exact"):
        assert told in text
    assert "Go on from where it stood" not in text
    assert "Cancel the run" not in text


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_report_fits_a_phone_and_a_desk(live_server: Any, page: Page) -> None:
    run = run_inline("nested", {})
    client = person(*ALL)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(live_server.url + url(run))
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("button", name="Replay").click()
        assert page.locator(".lockstep-note").inner_text() == "7 nodes came to the same."
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
