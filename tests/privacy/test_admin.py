"""Payloads and policies in the admin: who sees what, and that content stays text."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from lockstep.core import features
from lockstep.core.models import Feature
from lockstep.core.redacted import SEAL, Redacted
from lockstep.llm.models import Call
from lockstep.privacy import declared, payloads, redaction
from lockstep.privacy.admin import conversation as talk
from lockstep.privacy.encryption import encrypt
from lockstep.privacy.models import Payload
from tests.privacy.rows import put

LIST = "admin:lockstep_privacy_payload_changelist"
POLICIES = "admin:lockstep_privacy_payload_policies"
REQUEST = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "I am [PATIENT_NAME_1], NHS [NHS_1]. <script>alert(1)</script>"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "find_record", "args": {"nhs": "[NHS_1]"}, "id": "call_1"}],
    },
    {"role": "tool", "name": "find_record", "tool_call_id": "call_1", "content": '{"seen": "today"}'},
]
RESPONSE = {"role": "assistant", "content": [{"type": "text", "text": "Come at nine, [PATIENT_NAME_1]."}]}


def copy(content: Any, **how: Any) -> Redacted:
    text = content if isinstance(content, str) else json.dumps(content)
    encrypted = how.pop("encrypted", False)
    how = {"counts": {"NHS": 2, "PATIENT_NAME": 1}, "version": "pack 1"} | how
    return Redacted(encrypt(text) if encrypted else text, seal=SEAL, encrypted=encrypted, **how)


def keep(request: Any = REQUEST, response: Any = RESPONSE, **more: Any) -> uuid.UUID:
    call = uuid.uuid4()
    sealed = {"encrypted": more.pop("encrypted", False)}
    payloads.keep(call, copy(request, **sealed), copy(response, **sealed), feature="surgery.answer", **more)
    return call


def person(*permissions: str) -> Client:
    User.objects.filter(username="bob").delete()
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(call: uuid.UUID, name: str = "change") -> str:
    return reverse(f"admin:lockstep_privacy_payload_{name}", args=[call])


def shown(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def key(settings: Any) -> None:
    privacy = settings.LOCKSTEP.get("privacy", {}) | {"encryption_keys": [Fernet.generate_key().decode()]}
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": privacy}


# --- content --------------------------------------------------------------------------------------


def test_a_payload_is_shown_as_a_conversation_and_none_of_it_is_markup(boss: Client) -> None:
    text = shown(boss.get(page(keep())))
    assert '<mark class="lockstep-placeholder">[NHS_1]</mark>' in text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "find_record" in text
    assert "Come at nine" in text
    assert text.count('class="lockstep-turn"') == 5
    assert "NHS 4" in text


STRANGE: dict[str, Any] = {
    "text": "just a text with [EMAIL_1]",
    "empty list": [],
    "number": 7,
    "null": "null",
    "truth": "true",
    "NUL": '[{"role": "user", "content": "a\\u0000b"}]',
    "half a character": '[{"role": "user", "content": "\\ud83d"}]',
    "role of another type": [{"role": 5, "content": "x"}],
    "content of another type": [{"role": "user", "content": {"a": [1]}}, {"role": "user", "content": 5}],
    "parts": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:…"}, "plain", None, 3]}],
    "calls that are none": [
        {
            "role": "assistant",
            "tool_calls": [1, {"x": 1}, {"name": "f", "args": "{"}, {"name": "f", "args": 5}],
        },
        {"role": "assistant", "content": "x", "tool_calls": "f"},
    ],
    "more keys": [{"role": "user", "content": "x", "reasoning": {"why": "<b>"}}],
    "long names": [{"role": "r" * 5_000, "content": "x", "name": {"a": "n" * 5_000}}],
    "deep": "[" * 100_000,
    "deep and whole": "[" * 900 + "]" * 900,
    "digits": "1" * 10_000,
    "not a number": '{"a": NaN, "b": Infinity}',
    "placeholder in markup": '"[NHS_1]</mark><script>alert(1)</script>"',
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_strange_content_is_shown_as_something(content: Any, boss: Client) -> None:
    text = shown(boss.get(page(keep(content, ""))))
    assert "<script>alert(1)" not in text
    assert "\0" not in text
    assert "lockstep-text" in text


def test_what_nobody_could_read_through_is_cut_and_says_so(boss: Client) -> None:
    huge = [{"role": "user", "content": "x" * 3_000_000}, {"role": "assistant", "content": "unseen"}]
    text = shown(boss.get(page(keep(huge, [{"role": "user", "content": "."}] * 2_000))))
    assert len(text) < 1_000_000
    assert "2,800,000 more characters are not shown" in text
    assert f"{2_000 - talk.MOST_TURNS} more messages are not shown" in text


# --- who may what ---------------------------------------------------------------------------------


def test_who_may_not_look_sees_neither_payloads_nor_policies_nor_a_link(db: None) -> None:
    call = ledger_row()
    payloads.keep(call, copy(REQUEST), feature="surgery.answer")
    nobody = person("view_call")
    for url in (reverse(LIST), page(call), reverse(POLICIES)):
        assert nobody.get(url).status_code == 403
    assert nobody.post(page(call, "reveal")).status_code == 403
    assert page(call) not in shown(nobody.get(reverse("admin:lockstep_llm_call_change", args=[call])))
    assert Client().get(page(call)).status_code == 302


def test_who_may_look_edits_and_deletes_nothing(db: None) -> None:
    call = keep()
    reader = person("view_payload")
    shown(reader.get(reverse(LIST)))
    shown(reader.get(page(call)))
    assert reader.get(reverse("admin:lockstep_privacy_payload_add")).status_code == 403
    assert reader.post(page(call, "delete"), {"post": "yes"}).status_code == 403
    assert Payload.objects.filter(pk=call).exists()


def test_call_and_payload_lead_to_each_other(db: None) -> None:
    call = ledger_row()
    payloads.keep(call, copy(REQUEST), feature="surgery.answer")
    both = person("view_payload", "view_call")
    in_ledger = reverse("admin:lockstep_llm_call_change", args=[call])
    assert page(call) in shown(both.get(in_ledger))
    assert in_ledger in shown(both.get(page(call)))
    assert in_ledger not in shown(person("view_payload").get(page(call)))


def test_encrypted_content_is_shown_to_who_may_and_that_is_written_down(key: None, db: None) -> None:
    call = keep(encrypted=True)
    reader = person("view_payload")
    text = shown(reader.get(page(call)))
    assert "Come at nine" not in text
    assert "gAAAA" not in text
    assert "Read it" not in text
    assert reader.post(page(call, "reveal")).status_code == 403
    assert not LogEntry.objects.exists()
    revealer = person("view_payload", "reveal_payload")
    assert "Come at nine" not in shown(revealer.get(page(call)))
    assert revealer.get(page(call, "reveal")).status_code == 405
    answer = revealer.post(page(call, "reveal"))
    assert "Come at nine" in shown(answer)
    assert "no-store" in answer["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("bob", str(call))
    assert "bob" in shown(revealer.get(page(call)))
    assert person("reveal_payload").post(page(call, "reveal")).status_code == 403


def test_a_lost_key_is_said_and_a_reveal_wants_the_token_of_its_form(
    key: None, settings: Any, db: None
) -> None:
    call = keep(encrypted=True)
    revealer = person("view_payload", "reveal_payload")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="bob"))
    assert strict.post(page(call, "reveal")).status_code == 403
    assert not LogEntry.objects.exists()
    other = settings.LOCKSTEP["privacy"] | {"encryption_keys": [Fernet.generate_key().decode()]}
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": other}
    assert "None of the encryption keys opens" in shown(revealer.post(page(call, "reveal")))


# --- what is not there ----------------------------------------------------------------------------


def ledger_row(feature: str = "", **more: Any) -> uuid.UUID:
    return Call.objects.create(
        id=uuid.uuid4(), invocation=uuid.uuid4(), feature=feature, provider="local", request_model="m",
        operation="chat", state="settled", outcome="ok", bound_input=1, bound_output=1, expires_at=timezone.now(),
        **more,
    ).pk  # fmt: skip


def test_a_call_without_a_payload_says_why(boss: Client, feature: str) -> None:
    assert "nobody declares it" in shown(boss.get(page(ledger_row("gone.feature"))))
    assert "policy of calls of surgery.answer is redact" in shown(boss.get(page(ledger_row(feature))))
    old = ledger_row(feature)
    Call.objects.filter(pk=old).update(at=Call.objects.get(pk=old).at - timedelta(days=31))
    assert "expired on" in shown(boss.get(page(old)))
    assert boss.get(page(uuid.uuid4())).status_code == 404
    for wrong in ("x", "1", "%00", "0" * 5_000):
        assert boss.get(page("KEY").replace("KEY", wrong)).status_code == 404  # type: ignore[arg-type]


def test_what_has_expired_is_on_no_page(boss: Client) -> None:
    (call,) = put(-0.5, text="expired content")
    assert boss.get(page(call)).status_code == 404  # type: ignore[arg-type]
    assert str(call) not in shown(boss.get(reverse(LIST)))


# --- the list -------------------------------------------------------------------------------------


def test_payloads_are_found_by_feature_call_and_person(boss: Client) -> None:
    Feature.objects.create(name="surgery.answer", data_class="internal")
    mine, other = keep(subject="p-17"), keep()

    def found(**query: str) -> set[uuid.UUID]:
        return {one.pk for one in boss.get(reverse(LIST), query).context["cl"].queryset}

    assert found() == found(feature="surgery.answer") == {mine, other}
    assert found(feature="support.answer") == set()
    assert found(q="p-17") == found(q=str(mine)) == {mine}
    assert boss.get(reverse(LIST), {"q": "a\0b"}).status_code == 200
    assert boss.get(reverse(LIST), {"feature": "a\0b"}).status_code == 200


def test_pages_ask_as_often_for_many_as_for_few(boss: Client) -> None:
    def counted() -> list[int]:
        counts = []
        for url in (
            reverse(LIST),
            page(Payload.objects.values_list("call", flat=True)[0]),
            reverse(POLICIES),
        ):
            with CaptureQueriesContext(connection) as queries:
                assert boss.get(url).status_code == 200
            counts.append(len(queries))
        return counts

    keep()
    few = counted()
    for number in range(60):
        keep(REQUEST * 5, subject=f"p-{number}")
        Feature.objects.create(name=f"feature.f{number}", data_class="internal")
    assert counted() == few
    assert max(few) <= 6


def test_the_list_sorts_by_an_index_and_counts_no_further_than_one_can_page(
    boss: Client, monkeypatch: Any
) -> None:
    monkeypatch.setattr("lockstep.core.paging.REACH", 5)
    for _ in range(8):
        keep()
    text = shown(boss.get(reverse(LIST)))
    assert "The newest 5 of about" in text
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = Payload.objects.order_by("-at", "-call")[:50].explain()
    assert "at_idx" in plan or "payload_new" in plan


def test_django_finds_nothing_wrong_with_the_pages(db: None) -> None:
    assert run_checks(tags=["admin"]) == []


# --- policies -------------------------------------------------------------------------------------


@pytest.fixture
def several(settings: Any) -> Iterator[None]:
    features.declare("shop.public", data_class="public")
    features.declare("shop.private", data_class="personal", endpoints=("https://inside.example/v1",))
    features.declare("shop.coded", data_class="special")
    declared.known("shop.coded", patient=("name", "nhs_number"))
    chosen = {"shop.public": "off", "shop.coded": "redact", "shop.gone": "redact"}
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"policies": chosen}}
    yield
    for name in ("shop.public", "shop.private", "shop.coded"):
        features.forget(name)
    declared.forget("shop.coded")


def test_the_policies_say_what_is_kept_and_where_that_comes_from(
    boss: Client, feature: str, several: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(redaction, "_failures", {("shop.coded", "Pack took too long"): 3})
    rows = {row.name: row for row in boss.get(reverse(POLICIES)).context["rows"]}
    assert (rows[feature].policy, rows[feature].origin) == ("redact", "default of internal data")
    assert (rows["shop.private"].policy, rows["shop.private"].origin) == (
        "metadata",
        "default of personal data",
    )
    assert rows["shop.coded"].origin == "LOCKSTEP['privacy']['policies']['shop.coded']"
    assert (rows["shop.gone"].policy, rows["shop.gone"].origin) == ("metadata", "nobody declares it")
    assert rows[""].policy == "metadata"
    text = shown(boss.get(reverse(POLICIES)))
    assert "Redaction is off for" in text
    assert "patient: name, nhs_number" in text
    assert "https://inside.example/v1" in text
    assert "Pack took too long" in text
    assert "nothing was kept of 3 contents" in text


def test_a_detector_that_cannot_be_made_is_said(boss: Client, settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"detectors": {"mine": {"BACKEND": "no.such.Thing"}}}}
    assert "Nothing of any content is kept" in shown(boss.get(reverse(POLICIES)))


def test_who_may_look_at_features_sees_policies_and_their_place_in_the_list(feature: str, db: None) -> None:
    Feature.objects.create(name=feature, data_class="internal")
    viewer = person("view_feature")
    assert "Work without a feature" in shown(viewer.get(reverse(POLICIES)))
    assert f"{reverse(POLICIES)}#{feature}" in shown(
        viewer.get(reverse("admin:lockstep_core_feature_changelist"))
    )


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (1360, "dark"), (390, "light")])
def test_a_person_reads_payloads_in_a_browser_and_no_page_is_wider_than_the_window(
    width: int, scheme: str, page: Any, live_server: Any, key: None, feature: str, settings: Any
) -> None:
    chosen = settings.LOCKSTEP["privacy"] | {"policies": {"surgery.long_name" * 5: "redact"}}
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": chosen}
    plain, sealed = keep(subject="p-17" * 12), keep(encrypted=True)
    wide = keep(
        [{"role": "user", "content": "w" * 500}, {"role": "assistant", "tool_calls": [{"name": "n" * 90}]}]
    )
    lost = ledger_row("gone.feature")
    User.objects.create_superuser("ann", password="secret")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(live_server.url + address(plain))
    page.fill("#id_username", "ann")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    assert page.locator("mark").first.inner_text() == "[PATIENT_NAME_1]"
    for name, url in {
        "plain": address(plain), "sealed": address(sealed), "wide": address(wide), "lost": address(lost),
        "list": reverse(LIST), "policies": reverse(POLICIES),
    }.items():  # fmt: skip
        page.goto(live_server.url + url)
        look(page, f"payloads-{name}-{scheme}-{width}")
    page.goto(live_server.url + address(sealed))
    page.get_by_role("button", name="Read it").click()
    assert "Come at nine" in page.locator(".lockstep-turn").last.inner_text()
    look(page, f"payloads-revealed-{scheme}-{width}")


address = page


def look(page: Any, name: str) -> None:
    """Nothing sticks out; a picture for who wants to see it."""
    if folder := os.environ.get("LOCKSTEP_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0, f"{name}: {over} pixels"
