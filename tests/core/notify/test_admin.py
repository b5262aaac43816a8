"""Notices and sinks in the admin."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lockstep.core import ports
from lockstep.core.models import Delivery, Notice, SinkState
from lockstep.core.notify.deliverer import Deliverer, deliver
from lockstep.core.notify.housekeeping import tidy
from tests.core.notify.clock import pass_by
from tests.core.notify.conftest import webhook
from tests.core.notify.receiver import Receiver
from tests.core.notify.sinks import Memory

Sinks = Callable[..., None]
LIST = "admin:lockstep_core_notice_changelist"
SINKS = "admin:lockstep_core_notice_sinks"


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def person(*permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def send(subject: str = "Spent: support", **facts: Any) -> Notice:
    ports.notify.get().send(ports.Notice(facts.pop("topic", "budgets.hard"), subject, **facts))
    return Notice.objects.latest("id")


def address(notice: Notice) -> str:
    return reverse("admin:lockstep_core_notice_change", args=[notice.pk])


def trial(sink: str = "ops") -> str:
    return reverse("admin:lockstep_core_notice_test", args=[sink])


def shown(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_notice_shows_who_was_told_and_who_was_not(boss: Client, hook: Receiver, sinks: Sinks) -> None:
    sinks({"ops": webhook(hook), "memory": {"BACKEND": "tests.core.notify.sinks.Memory"}})
    Memory.down = True
    notice = send(body="All <b>of it</b>.", severity="error", dedup_key="k", facts={"limit": 5, "who": ["a"]})
    assert "new" in shown(boss.get(reverse(LIST)))
    deliver()
    listed = shown(boss.get(reverse(LIST)))
    assert "ops: sent" in listed
    assert "memory: waiting" in listed
    text = shown(boss.get(address(notice)))
    assert "RuntimeError" in text
    assert "All &lt;b&gt;of it&lt;/b&gt;." in text
    assert "limit" in text
    pass_by(days=8)
    tidy()
    assert "memory: given up" in shown(boss.get(reverse(LIST)))


def test_notices_are_found_by_topic_severity_and_delivery(boss: Client, memory: type[Memory]) -> None:
    memory.down = True
    send("waits", severity="error")
    Deliverer().run()
    memory.down = False
    pass_by(minutes=11)
    send("was sent", topic="reviews.waiting")
    SinkState.objects.update(resume_at=Notice.objects.earliest("id").at)
    Delivery.objects.update(next_at="2100-01-01T00:00Z")
    Deliverer().run()
    send("is new")

    def found(**query: str) -> list[str]:
        return [notice.subject for notice in boss.get(reverse(LIST), query).context["cl"].queryset]

    assert found(delivery="new") == ["is new"]
    assert found(delivery="sent") == ["was sent"]
    assert found(delivery="pending") == ["waits"]
    assert found(delivery="dead") == found(delivery="none") == []
    assert found(severity__exact="error") == ["waits"]
    assert found(topic="reviews.waiting") == ["was sent"]
    assert found(q="new") == ["is new"]
    assert boss.get(reverse(LIST), {"q": "a\0b"}).status_code == 200


def test_what_was_given_up_is_delivered_again_and_what_was_sent_is_not(
    boss: Client, hook: Receiver, sinks: Sinks
) -> None:
    sinks({"ops": webhook(hook), "memory": {"BACKEND": "tests.core.notify.sinks.Memory"}})
    Memory.down = True
    notice = send()
    Deliverer().run()
    pass_by(days=8)
    tidy()
    Memory.down = False
    action = {"action": "again", "_selected_action": [notice.pk]}
    answer = boss.post(reverse(LIST), action, follow=True)
    assert "1 delivery is tried again" in shown(answer)
    Deliverer().run()
    assert [message.id for message in Memory.messages] == [str(notice.pk)]
    assert len(hook.requests) == 1
    assert LogEntry.objects.get().object_id == str(notice.pk)
    answer = boss.post(reverse(LIST), action, follow=True)
    assert "nothing is sent twice" in shown(answer)


def test_a_notice_that_nobody_was_told_of_is_handed_out_again(boss: Client, sinks: Sinks) -> None:
    notice = send()
    Deliverer().run()
    sinks({"memory": {"BACKEND": "tests.core.notify.sinks.Memory"}})
    boss.post(reverse(LIST), {"action": "again", "_selected_action": [notice.pk]})
    Deliverer().run()
    assert [message.id for message in Memory.messages] == [str(notice.pk)]


def test_a_test_notice_says_what_really_came_of_it(boss: Client, hook: Receiver, sinks: Sinks) -> None:
    answer = boss.post(trial(), follow=True)
    assert "The sink ops took the test notice test-" in shown(answer)
    assert hook.told[0]["topic"] == "lockstep.test"
    hook.status = 503
    answer = boss.post(trial(), follow=True)
    assert "did not take the test notice. SinkUnavailable: 127.0.0.1 answered 503" in shown(answer)
    sinks({"ops": {"BACKEND": "tests.core.notify.sinks.Broken"}})
    assert "cannot be used" in shown(boss.post(trial(), follow=True))
    sinks({"ops": {"BACKEND": "tests.core.notify.sinks.Hanging"}}, timeout_s=0.1)
    assert "no end after 0.1 s" in shown(boss.post(trial(), follow=True))
    assert not Notice.objects.exists()  # it goes past the outbox


def test_a_test_at_pagerduty_calls_nobody_for_long(
    boss: Client, receiver: Receiver, sinks: Sinks, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PD_KEY", "a key")
    options = {"routing_key_env": "PD_KEY", "url": receiver.url}
    sinks({"ops": {"BACKEND": "lockstep.core.notify.sinks.PagerDuty", "OPTIONS": options}})
    boss.post(trial())
    assert [one["event_action"] for one in receiver.told] == ["trigger", "resolve"]
    assert len({one["dedup_key"] for one in receiver.told}) == 1


def test_the_page_of_sinks_shows_how_each_fares(boss: Client, sinks: Sinks, monkeypatch: Any) -> None:
    monkeypatch.delenv("PD_KEY", raising=False)
    backend = "tests.core.notify.sinks"
    sinks({"gone": {"BACKEND": f"{backend}.Memory"}})
    Memory.down = True
    send()
    Deliverer().run()
    pd = {"BACKEND": "lockstep.core.notify.sinks.PagerDuty", "OPTIONS": {"routing_key_env": "PD_KEY"}}
    down = {"BACKEND": f"{backend}.Memory", "TOPICS": ["budgets.*"]}
    sinks({"down": down, "broken": {"BACKEND": f"{backend}.Broken"}, "pd": pd})
    send()
    Deliverer().run()
    text = shown(boss.get(reverse(SINKS)))
    assert "down, 1 attempt" in text
    assert "it lacks a screw." in text
    assert "PD_KEY is not set" in text
    assert "not configured any more" in text
    assert "RuntimeError" in text


def test_silence_is_said(boss: Client, memory: type[Memory]) -> None:
    send()
    for where in (LIST, SINKS):
        assert "Nobody has delivered" in shown(boss.get(reverse(where)))
    deliver()
    for where in (LIST, SINKS):
        assert "Nobody has delivered" not in shown(boss.get(reverse(where)))


def test_who_may_what(db: None, hook: Receiver) -> None:
    notice = send()
    nobody = person()
    for url in (reverse(LIST), reverse(SINKS), address(notice)):
        assert nobody.get(url).status_code == 403
    assert nobody.post(trial()).status_code == 403
    User.objects.all().delete()
    reader = person("view_notice")
    for url in (reverse(LIST), reverse(SINKS), address(notice)):
        assert reader.get(url).status_code == 200
    assert "Send a test notice" not in shown(reader.get(reverse(SINKS)))
    assert "Deliver again" not in shown(reader.get(reverse(LIST)))
    assert reader.post(trial()).status_code == 403
    assert reader.post(address(notice)).status_code == 405
    User.objects.all().delete()
    tester = person("view_notice", "test_sink")
    assert tester.get(trial()).status_code == 405
    assert hook.requests == []
    assert tester.post(trial()).status_code == 302
    assert len(hook.requests) == 1
    assert tester.post(trial("nothing")).status_code == 404
    assert Client().post(trial()).status_code == 302  # to the login
    assert len(hook.requests) == 1


def test_a_test_notice_wants_the_token_of_its_form(boss: Client, hook: Receiver) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(trial()).status_code == 403
    assert hook.requests == []


def test_nobody_writes_or_deletes_notices_by_hand(boss: Client) -> None:
    notice = send()
    assert boss.get(reverse("admin:lockstep_core_notice_add")).status_code == 403
    assert boss.post(reverse("admin:lockstep_core_notice_delete", args=[notice.pk])).status_code == 403
    for wrong in ("x", "0", "9" * 30):
        assert boss.get(reverse("admin:lockstep_core_notice_change", args=[wrong])).status_code == 404


def test_pages_ask_as_often_for_many_as_for_few(boss: Client, sinks: Sinks) -> None:
    backend = {"BACKEND": "tests.core.notify.sinks.Memory", "PER_MINUTE": 10_000}

    def asked(url: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert boss.get(url).status_code == 200
        return len(queries)

    def counted() -> list[int]:
        return [asked(reverse(LIST)), asked(reverse(SINKS)), asked(address(Notice.objects.latest("id")))]

    sinks({"one": backend})
    send()
    deliver()
    few = counted()
    sinks({f"sink-{number}": backend for number in range(12)})
    for number in range(60):
        send(f"{number}", topic=f"topic.{number}")
    deliver()
    assert counted() == few
    assert max(few) <= 9


@pytest.mark.browser
@pytest.mark.parametrize("width", [1360, 390])
def test_a_person_tries_a_sink_in_a_browser_and_no_page_is_wider_than_the_window(
    width: int, page: Any, live_server: Any, hook: Receiver, sinks: Sinks
) -> None:
    sinks({"ops": webhook(hook), "memory": {"BACKEND": "tests.core.notify.sinks.Memory"}})
    Memory.down = True
    long = {"severity": "error", "dedup_key": "k" * 150, "body": "y" * 300, "facts": {"a": "b" * 300}}
    notice = send("x" * 200, **long)
    send("Over: support", severity="info", dedup_key="k" * 150, resolves=True)
    deliver()
    User.objects.create_superuser("ann", password="secret")
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(live_server.url + reverse(SINKS))
    page.fill("#id_username", "ann")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    page.click("text=Send a test notice to ops")
    assert "took the test notice" in page.locator(".messagelist li").inner_text()
    for number, url in enumerate(
        [reverse(SINKS), reverse(LIST), reverse("admin:lockstep_core_notice_change", args=[notice.pk])]
    ):
        page.goto(live_server.url + url)
        if folder := os.environ.get("LOCKSTEP_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/notices-{width}-{number}.png", full_page=True)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{url}: {over} pixels"
