"""The review queue and the page of a review, in the admin and behind a link: who sees what, and what decides."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lockstep.workflows import answer, cancel, review_url
from lockstep.workflows.models import Wait
from lockstep.workflows.reviews.forms import form_of
from lockstep.workflows.reviews.shown import visible
from tests.flows.waiting import PROPOSAL, SCHEMA
from tests.workflows.test_answers import one, reviewer, sql, stopped, went_on

LIST = "admin:lockstep_workflows_wait_changelist"


def page(wait: Wait) -> str:
    return reverse("admin:lockstep_workflows_wait_change", args=[wait.pk])


def client_of(user: User, *, enforce_csrf_checks: bool = False) -> Client:
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user)
    return client


def staff(name: str, *permissions: str, groups: tuple[str, ...] = ()) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    return client_of(user)


def shown(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content[:2000]
    return str(response.content.decode())


def filled(wait: Wait, **changed: str) -> dict[str, str]:
    """What a browser sends: every field as the page has it, but for those that are named here."""
    form = form_of(wait)
    names = {name: field for field, name in getattr(form, "_names", {}).items()}
    found: dict[str, str] = {}
    for bound in form:
        value = "" if bound.value() is None else bound.value()
        if value is True or value is False:
            found |= {bound.html_name: "on"} if value else {}
        else:
            found[bound.html_name] = str(value).replace("\n", "\r\n")
    for name, value in changed.items():
        found[names.get(name, name)] = value
    return found


@pytest.fixture
def boss(db: None) -> Client:
    return client_of(User.objects.create_superuser("boss"))


@pytest.fixture
def wait(db: None) -> Wait:
    return one(stopped())


# --- the queue ---------------------------------------------------------------------------------------


def test_the_queue_shows_what_is_open_first_and_the_rest_when_asked(boss: Client, wait: Wait) -> None:
    run = stopped()
    answer(one(run), "reject", by=reviewer())
    text = shown(boss.get(reverse(LIST)))
    assert page(wait) in text
    assert page(one(run)) not in text
    for state in ("answered", "all"):
        assert page(one(run)) in shown(boss.get(reverse(LIST), {"state": state}))


def test_the_queue_by_group_kind_workflow_and_run(boss: Client, wait: Wait) -> None:
    Group.objects.create(name="finance")
    for_finance = one(stopped(given={"amount": 1, "answer": {"assignee": "finance"}}))
    asked, timed = one(stopped("question", {})), one(stopped("sleeper", {"amount": 600}))
    every = {wait, for_finance, asked, timed}

    def found(**query: str) -> set[Wait]:
        text = shown(boss.get(reverse(LIST), query))
        return {known for known in every if page(known) in text}

    assert found() == every
    assert found(**{"for": "group:finance"}) == {for_finance}
    assert found(**{"for": "me"}) == {wait, asked}
    assert found(kind__exact="input") == {asked}
    assert found(workflow="refund") == {wait, for_finance}
    assert found(q=str(timed.run_id)) == found(q=str(timed.pk)) == {timed}
    for strange in ("x\0y", "'", "no such"):
        found(q=strange, workflow=strange, state=strange, **{"for": strange})


@pytest.mark.parametrize("rows", [2, 30])
def test_the_queue_asks_as_often_for_many_as_for_few(rows: int, boss: Client) -> None:
    for _ in range(rows):
        stopped("question", {})
    boss.get(reverse(LIST))
    with CaptureQueriesContext(connection) as queries:
        text = shown(boss.get(reverse(LIST)))
    assert text.count("Question") >= rows
    assert len(queries) <= 7, [query["sql"] for query in queries]


def test_the_page_of_a_review_asks_a_constant_number_of_times(boss: Client, wait: Wait) -> None:
    boss.get(page(wait))
    with CaptureQueriesContext(connection) as queries:
        boss.get(page(wait))
    assert len(queries) <= 6, [query["sql"] for query in queries]


def test_who_may_answer_sees_what_is_for_them_and_who_may_view_sees_all(wait: Wait) -> None:
    for_finance = one(stopped(given={"amount": 1, "answer": {"assignee": "finance"}}))
    timed = one(stopped("sleeper", {"amount": 600}))
    seen = {
        "nobody": (staff("nobody"), set()),
        "answers": (staff("answers", "answer_wait"), {wait}),
        "finance": (staff("finance", "answer_wait", groups=("finance",)), {wait, for_finance}),
        "views": (staff("views", "view_wait"), {wait, for_finance, timed}),
    }
    for client, expected in seen.values():
        listed = client.get(reverse(LIST))
        if not expected:
            assert listed.status_code == 403
        else:
            text = shown(listed)
            assert {known for known in (wait, for_finance, timed) if page(known) in text} == expected
        for known in (wait, for_finance, timed):
            assert client.get(page(known)).status_code == (200 if known in expected else 403)


def test_who_may_only_look_has_no_buttons_and_cannot_post(wait: Wait) -> None:
    client = staff("views", "view_wait")
    text = shown(client.get(page(wait)))
    assert 'name="approve"' not in text
    assert "needs the permission" in text
    assert client.post(page(wait), filled(wait) | {"approve": "Approve"}).status_code == 403
    assert one(wait.run).status == "open"


def test_nothing_is_added_changed_or_deleted_otherwise(boss: Client, wait: Wait) -> None:
    assert boss.get(reverse("admin:lockstep_workflows_wait_add")).status_code == 403
    assert (
        boss.post(
            reverse("admin:lockstep_workflows_wait_delete", args=[wait.pk]), {"post": "yes"}
        ).status_code
        == 403
    )


def test_what_is_not_there_is_not_found(boss: Client) -> None:
    for key in ("x", "00000000-0000-0000-0000-000000000000", "1' OR 1=1"):
        assert boss.get(reverse("admin:lockstep_workflows_wait_change", args=[key])).status_code == 404


# --- deciding ---------------------------------------------------------------------------------------


def test_approved_as_it_is_shown_is_approved_to_the_byte(boss: Client, wait: Wait) -> None:
    response = boss.post(page(wait), filled(wait, comment="Fine.") | {"approve": "Approve"})
    assert response.status_code == 302
    wait.refresh_from_db()
    assert (wait.decision, wait.answer["args"], wait.comment) == ("approve", PROPOSAL, "Fine.")
    assert LogEntry.objects.get().object_id == str(wait.pk)
    assert went_on(wait.run).status == "succeeded"


EDITS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "a number": ({"amount": "50"}, {"amount": 50}),
    "a choice": ({"reason": '"broken"'}, {"reason": "broken"}),
    "a text of lines": ({"message": "We\r\nare late."}, {"message": "We\nare late."}),
    "an empty text": ({"message": ""}, {"message": ""}),
    "a part of one": ({"weight": "0.25"}, {"weight": 0.25}),
    "a day": ({"on": "2026-12-24"}, {"on": "2026-12-24"}),
    "a structure": ({"lines": '[{"sku": "A"}, {"sku": "B"}]'}, {"lines": [{"sku": "A"}, {"sku": "B"}]}),
}


@pytest.mark.parametrize(("typed", "changed"), EDITS.values(), ids=EDITS)
def test_what_a_person_edits_is_approved_and_nothing_else_changes(
    typed: dict[str, str], changed: dict[str, Any], boss: Client, wait: Wait
) -> None:
    assert boss.post(page(wait), filled(wait, **typed) | {"edit": "…"}).status_code == 302
    wait.refresh_from_db()
    assert (wait.decision, wait.answer["args"]) == ("edit", PROPOSAL | changed)
    assert [change.path.split("[")[0] for change in wait.changes][:1] == list(changed)
    text = shown(boss.get(page(wait)))
    assert "What was changed" in text
    assert "boss" in text


def test_a_box_that_is_unticked_is_false(boss: Client, wait: Wait) -> None:
    data = filled(wait)
    name = next(field for field, prop in form_of(wait)._names.items() if prop == "notify")
    del data[name]
    assert boss.post(page(wait), data | {"edit": "…"}).status_code == 302
    wait.refresh_from_db()
    assert wait.answer["args"] == PROPOSAL | {"notify": False}


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "too much": ({"amount": "501"}, "less than or equal to 500"),
    "no number": ({"amount": "lots"}, "whole number"),
    "empty where it is needed": ({"amount": ""}, "None is not of type"),
    "no day": ({"on": "2026-02-30"}, "date"),
    "no choice": ({"reason": '"because"'}, "not one of the available choices"),
    "no json": ({"lines": "[{"}, "valid JSON"),
    "not a number": ({"lines": "[NaN]"}, "JSON"),
    "deep within": ({"lines": '[{"sku": 5}]'}, "lines[0].sku: 5 is not of type"),
}


@pytest.mark.parametrize(("typed", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_edit_comes_back_with_what_is_wrong_and_what_was_typed(
    typed: dict[str, str], told: str, boss: Client, wait: Wait
) -> None:
    text = shown(boss.post(page(wait), filled(wait, **typed, comment="mine") | {"edit": "…"}))
    assert told in text.replace("&#x27;", "'").replace("&quot;", '"')
    assert "mine" in text
    assert one(wait.run).status == "open"


def test_approve_does_not_throw_away_what_was_typed(boss: Client, wait: Wait) -> None:
    text = shown(boss.post(page(wait), filled(wait, amount="50") | {"approve": "Approve"}))
    assert "You changed something" in text
    assert one(wait.run).status == "open"


def test_reject_looks_at_no_change_and_no_button_decides_nothing(boss: Client, wait: Wait) -> None:
    shown(boss.post(page(wait), filled(wait)))
    assert one(wait.run).status == "open"
    assert boss.post(page(wait), filled(wait, amount="lots") | {"reject": "Reject"}).status_code == 302
    assert one(wait.run).decision == "reject"


def test_a_page_that_was_open_for_long_decides_nothing(boss: Client, wait: Wait) -> None:
    data = filled(wait) | {"approve": "Approve"}
    sql("UPDATE lockstep_workflows_wait SET digest = repeat('0', 64)")
    assert "Open it again" in shown(boss.post(page(wait), data), 409)
    answer(one(wait.run), "reject", by=reviewer("zoe"))
    assert "zoe was faster" in shown(boss.post(page(wait), data), 409)
    assert one(wait.run).decision == "reject"


def test_a_question_of_the_graph_is_answered_with_text_or_json(boss: Client) -> None:
    for typed, form, expected in (("2 < 3\r\n", "text", "2 < 3\n"), ('{"a": [1]}', "json", {"a": [1]})):
        wait = one(stopped("question", {}))
        text = shown(boss.get(page(wait)))
        assert "<dt>question</dt><dd>Which colour?</dd>" in text
        assert "$t" not in text
        sent = {"digest": wait.digest, "answer": typed, "form": form}
        assert "no JSON" in shown(boss.post(page(wait), sent | {"answer": "{", "form": "json"}))
        assert boss.post(page(wait), sent).status_code == 302
        assert went_on(wait.run).result["answer"] == expected


def test_events_and_moments_are_shown_and_have_no_form(boss: Client) -> None:
    for name, given in (("event", {"amount": 7}), ("sleeper", {"amount": 600})):
        wait = one(stopped(name, given))
        text = shown(boss.get(page(wait)))
        assert '<form method="post" class="lockstep-decide"' not in text


def test_what_a_run_says_is_never_markup_and_nothing_of_it_is_hidden(boss: Client) -> None:
    nasty = "<script>alert(1)</script>"
    wait = one(stopped())
    payload = {"action": nasty, "args": {nasty: nasty, "amount": 1, "to": "gro\u202eevil"}, "note": nasty}
    schema = {
        "properties": {
            "amount": {"type": "integer", "title": nasty, "description": nasty},
            nasty: {"enum": [nasty]},
        }
    }
    Wait.objects.filter(pk=wait.pk).update(payload=payload, name=nasty, assignee=nasty, schema=schema)
    for url in (page(wait), reverse(LIST), review_url(wait)):
        text = shown(boss.get(url))
        assert nasty not in text
        assert "&lt;script&gt;" in text
    assert "gro\\u202eevil" in shown(boss.get(page(wait)))
    assert visible("a\u200bb\x07\n\t\U0001f600é") == "a\\u200bb\\u0007\n\t\U0001f600é"


STRANGE: dict[str, Any] = {
    "no properties": {"type": "object"},
    "several types": {"properties": {"amount": {"type": ["integer", "null"]}}},
    "a reference": {"$defs": {"a": {"properties": {"amount": {"type": "integer"}}}}, "$ref": "#/$defs/a"},
    "a truth": {"properties": {"amount": True}},
    "an odd limit": {"properties": {"amount": {"type": "integer", "minimum": "1"}}},
    "another type than the value": {"properties": {"reason": {"type": "integer"}}},
    "everything in a list": {"properties": {"lines": {"enum": [[{"sku": "H9-UC3"}], None, 3, "x"]}}},
}


@pytest.mark.parametrize("schema", STRANGE.values(), ids=STRANGE)
def test_a_form_is_made_of_any_schema_and_approving_changes_nothing(
    schema: Any, boss: Client, wait: Wait
) -> None:
    Wait.objects.filter(pk=wait.pk).update(schema=schema)
    wait.refresh_from_db()
    shown(boss.get(page(wait)))
    assert boss.post(page(wait), filled(wait) | {"approve": "Approve"}).status_code == 302
    wait.refresh_from_db()
    assert wait.answer["args"] == PROPOSAL


# --- behind a link ------------------------------------------------------------------------------------


def test_a_link_shows_and_only_a_post_decides(wait: Wait) -> None:
    client = client_of(reviewer())
    for method in (client.get, client.head, client.get):
        assert method(review_url(wait), {"approve": "Approve"}).status_code == 200
    assert client.put(review_url(wait)).status_code == 405
    assert one(wait.run).status == "open"
    response = client.get(review_url(wait))
    assert "no-store" in response["Cache-Control"]
    text = shown(client.post(review_url(wait), filled(wait, amount="7") | {"edit": "…"}))
    assert "this is decided" in text
    assert one(wait.run).answer["args"]["amount"] == 7


def test_a_link_needs_a_login_and_the_right_person(wait: Wait) -> None:
    answer = Client().get(review_url(wait))
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/accounts/login/")
    assert Client().post(review_url(wait), {"approve": "Approve"}).status_code == 302
    assert client_of(User.objects.create_user("plain")).get(review_url(wait)).status_code == 403
    for_finance = one(stopped(given={"amount": 1, "answer": {"assignee": "finance"}}))
    other = client_of(reviewer("other"))
    assert other.get(review_url(for_finance)).status_code == 403
    assert other.post(review_url(for_finance), {"reject": "Reject"}).status_code == 403
    own = reviewer("own")
    mine = one(stopped(user=own))
    assert client_of(own).post(review_url(mine), filled(mine) | {"approve": "Approve"}).status_code == 403
    assert set(Wait.objects.values_list("status", flat=True)) == {"open"}


def test_a_post_without_the_token_of_the_page_is_refused(wait: Wait) -> None:
    client = client_of(reviewer(), enforce_csrf_checks=True)
    sent = filled(wait) | {"approve": "Approve"}
    assert client.post(review_url(wait), sent).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown(client.get(review_url(wait))))
    assert token
    shown(client.post(review_url(wait), sent | {"csrfmiddlewaretoken": token[1]}))


def test_an_answered_review_is_409_and_what_is_over_410(wait: Wait, settings: Any) -> None:
    client = client_of(reviewer())
    data = filled(wait) | {"approve": "Approve"}
    answer(wait, "reject", by=reviewer("zoe"))
    assert "zoe" in shown(client.get(review_url(wait)), 409)
    assert "zoe was faster" in shown(client.post(review_url(wait), data), 409)

    late = one(stopped())
    sql("UPDATE lockstep_workflows_wait SET due_at = clock_timestamp() WHERE id = %s", late.pk)
    assert 'name="approve"' not in shown(client.get(review_url(late)), 410)
    assert "too late" in shown(client.post(review_url(late), data | {"digest": late.digest}), 410)
    gone = one(stopped())
    cancel(gone.run)
    assert shown(client.get(review_url(gone)), 410)
    assert shown(client.post(review_url(gone), data), 410)
    url = review_url(gone)
    Wait.objects.filter(pk=gone.pk).delete()
    assert "Nothing is kept" in shown(client.get(url), 410)
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"link_days": 1e-9}}
    assert "too old" in shown(client.get(url), 410)


def test_a_link_that_we_have_not_made_leads_nowhere(wait: Wait) -> None:
    client = client_of(reviewer())
    url = review_url(wait)
    for strange in (
        url[:-3] + "xx/",
        reverse("lockstep_workflows:review", args=[str(wait.pk)]),
        reverse("lockstep_workflows:review", args=[signing.dumps(str(wait.pk))]),
        reverse("lockstep_workflows:review", args=[signing.dumps("x", salt="lockstep.workflows.review")]),
    ):
        assert client.get(strange).status_code == 404


def test_a_link_begins_where_people_reach_the_project(wait: Wait, settings: Any) -> None:
    assert review_url(wait).startswith("/lockstep/reviews/")
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"site_url": "https://desk.example.com/"}}
    assert review_url(wait).startswith("https://desk.example.com/lockstep/reviews/")


# --- in a browser ---------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_person_decides_in_a_browser_and_no_page_is_wider_than_the_window(
    width: int, scheme: str, page: Any, live_server: Any
) -> None:
    waits = {name: one(stopped(name, given)) for name, given in (
        ("refund", {"amount": 120}), ("question", {}), ("sleeper", {"amount": 600}),
    )}  # fmt: skip
    wide = one(stopped())
    args = {"amount": 1, "w" * 90: "w" * 400, "lines": [{"deep": ["x" * 200]}]}
    Wait.objects.filter(pk=wide.pk).update(payload={"action": "a" * 190, "args": args, "note": "n" * 300})
    edited = one(stopped())
    answer(
        edited, "edit", args=PROPOSAL | {"amount": 50, "message": "m" * 150}, by=reviewer(), comment="Less."
    )
    User.objects.create_superuser("ann boss", password="secret")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(live_server.url + reverse(LIST))
    page.fill("#id_username", "ann boss")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    look(page, f"waits-queue-{scheme}-{width}")
    for name, wait in (waits | {"wide": wide, "edited": edited}).items():
        page.goto(live_server.url + address(wait))
        look(page, f"waits-{name}-{scheme}-{width}")
        page.goto(live_server.url + review_url(wait))
        look(page, f"waits-{name}-link-{scheme}-{width}")

    page.goto(live_server.url + address(waits["refund"]))
    amount = page.get_by_label("Pounds")
    amount.fill("900")
    amount.press("Enter")
    assert one(waits["refund"].run).status == "open"
    page.get_by_role("button", name="Approve with changes").click()
    assert "500" in page.locator(".errorlist").first.inner_text()
    look(page, f"waits-wrong-{scheme}-{width}")
    page.get_by_label("Pounds").fill("90")
    page.get_by_role("button", name="Approve", exact=True).click()
    assert "You changed something" in page.locator(".errornote").inner_text()
    page.get_by_label("Comment").fill("Less will do.")
    page.get_by_role("button", name="Approve with changes").click()
    assert "is approved with changes" in page.locator(".messagelist").inner_text()
    decided = one(waits["refund"].run)
    assert (decided.answer["args"], decided.comment) == (PROPOSAL | {"amount": 90}, "Less will do.")


address = page


def look(page: Any, name: str) -> None:
    """Nothing sticks out; a picture for who wants to see it."""
    if folder := os.environ.get("LOCKSTEP_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0, f"{name}: {over} pixels"


def test_the_schema_of_these_tests_allows_its_proposal() -> None:
    from lockstep.workflows.schemas import problems

    assert problems(PROPOSAL, SCHEMA) == []
