"""Events from outside: believed only with a signature, kept once, given once, to whoever has waited longest."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from lockstep.core import ports
from lockstep.core.notify import signatures
from lockstep.testing.workflows import go_on, run_inline
from lockstep.workflows import cancel, receive, start, sweeping
from lockstep.workflows.engine import advance
from lockstep.workflows.inbox import webhooks
from lockstep.workflows.inbox.models import InboundBody, InboundEvent, Webhook
from lockstep.workflows.inbox.receiving import _match
from lockstep.workflows.models import Run
from tests.workflows.test_answers import one, sql, stopped, went_on

SETTLED = "payment.settled"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="


def came(key: str = "7", body: Any = "paid", name: str = SETTLED, **more: Any) -> InboundEvent:
    """An event whose receiver has committed and looked for its wait."""
    event, new = receive(name, key=key, body=body, **more)
    if new:
        _match(str(event.pk))
    event.refresh_from_db()
    return event


def waiting(amount: int = 7, **more: Any) -> Run:
    return stopped("event", {"amount": amount}, **more)


@pytest.fixture
def made(db: None, settings: Any) -> webhooks.Made:
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"site_url": "https://desk.example.com"}}
    return webhooks.make("payments", key_path="data.order")


def send(made: webhooks.Made, body: Any, *, id: str = "", secret: str = "", **more: Any) -> Any:  # noqa: A002
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = signatures.sign(id or uuid.uuid4().hex, raw, [secret or made.secret], now=more.pop("now", None))
    headers |= more.pop("headers", {})
    path = more.pop("url", made.url).removeprefix("https://desk.example.com")
    return Client(enforce_csrf_checks=True).post(path, raw, content_type="application/json", headers=headers)


BODY = {"type": SETTLED, "data": {"order": 7, "pence": 1200}}


# --- in the order that things happen ------------------------------------------------------------------


def test_an_event_wakes_the_run_that_waits_for_it(db: None) -> None:
    other, run = waiting(8), waiting(7)
    event = came(body={"pence": 1200})
    assert (event.wait, event.run_id) == (one(run), run.pk)
    assert went_on(run).result["answer"] == {"pence": 1200}
    other.refresh_from_db()
    assert other.status == "waiting"


def test_an_event_that_comes_before_its_wait_is_kept_for_it(db: None) -> None:
    event = came(body=[1, 2])
    assert (event.wait, event.body) == (None, [1, 2])
    run = start("event", {"amount": 7})
    assert advance(str(run.pk)) == "queued"
    event.refresh_from_db()
    assert event.wait == one(run)
    assert went_on(run).result["answer"] == [1, 2]


def test_of_several_events_the_first_is_taken_first_and_each_once(db: None) -> None:
    for body in ("first", "second", "third"):
        came(body=body)
    for body in ("first", "second", "third"):
        run = start("event", {"amount": 7})
        advance(str(run.pk))
        assert went_on(run).result["answer"] == body
    waiting()
    assert InboundEvent.objects.filter(wait=None).count() == 0


def test_of_several_runs_the_one_that_has_waited_longest_is_woken(db: None) -> None:
    first, second = waiting(), waiting()
    came(body="a")
    assert went_on(first).result["answer"] == "a"
    second.refresh_from_db()
    assert second.status == "waiting"
    came(body="b")
    assert went_on(second).result["answer"] == "b"


def test_events_that_come_out_of_order_find_each_its_own_run(db: None) -> None:
    runs = {amount: waiting(amount) for amount in (1, 2, 3)}
    for amount in (3, 1, 2):
        came(key=str(amount), body=amount)
    assert {amount: went_on(run).result["answer"] for amount, run in runs.items()} == {1: 1, 2: 2, 3: 3}


def test_the_same_twice_is_one_event(db: None) -> None:
    first, second = waiting(), waiting()
    event, new = receive(SETTLED, key="7", body="x", dedupe="id-1", source="payments")
    assert new
    again, new = receive(SETTLED, key="7", body="changed", dedupe="id-1", source="payments")
    assert (again, new) == (event, False)
    _match(str(event.pk)), _match(str(event.pk))
    assert went_on(first).result["answer"] == "x"
    second.refresh_from_db()
    assert second.status == "waiting"
    assert receive(SETTLED, key="7", body="x", dedupe="id-1", source="another")[1]
    assert receive(SETTLED, key="7", body={"a": 1, "b": 2})[1]
    assert not receive(SETTLED, key="7", body={"b": 2, "a": 1})[1]


def test_an_event_for_a_run_that_has_ended_is_kept_and_never_matched_again(db: None) -> None:
    run = waiting()
    event = came(body="for the first")
    cancel(run)
    later = waiting()
    event.refresh_from_db()
    assert event.run_id == run.pk
    _match(str(event.pk))
    later.refresh_from_db()
    assert later.status == "waiting"


def test_an_event_that_comes_too_late_for_its_wait_does_not_answer_it(db: None) -> None:
    run = waiting()
    sql("UPDATE lockstep_workflows_wait SET due_at = clock_timestamp()")
    assert came().wait is None
    sql("UPDATE lockstep_workflows_run SET wake_at = clock_timestamp()")
    sweeping.due()
    assert went_on(run).result["answer"] is None


def test_an_event_while_the_worker_is_about_to_stop_is_not_missed(db: None) -> None:
    from lockstep.workflows import engine
    from lockstep.workflows.ownership import here

    run = start("event", {"amount": 7})
    held = here().acquire(str(run.pk))
    end = engine._Advance(held).end()
    came()
    assert engine._release(held, end)["status"] == "queued"
    assert went_on(run).result["answer"] == "paid"


def test_a_receiver_that_died_before_it_looked_is_followed_by_the_next_sweep(db: None) -> None:
    run = waiting()
    event, _ = receive(SETTLED, key="7", body="paid")
    sweeping.due()
    run.refresh_from_db()
    assert run.status == "waiting"  # its receiver may be about to
    sql("UPDATE lockstep_workflows_inboundevent SET received_at = received_at - interval '3 seconds'")
    sql("UPDATE lockstep_workflows_run SET at = at - interval '3 seconds'")
    assert (str(run.pk), "event") in sweeping.due()
    assert went_on(run).result["answer"] == "paid"
    event.refresh_from_db()
    assert event.looked_at is not None


def test_in_a_users_own_test_an_event_is_given_when_the_run_goes_on(db: None) -> None:
    run = run_inline("event", {"amount": 7})
    receive(SETTLED, key="7", body="paid")
    assert go_on(run).result["answer"] == "paid"


def test_it_is_matched_when_its_transaction_commits_and_the_doorbell_rings(
    db: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    rung: list[Any] = []
    monkeypatch.setattr("lockstep.workflows.doorbell.ring", lambda run, queue="": rung.append(run))
    run = waiting()
    with django_capture_on_commit_callbacks(execute=True):
        receive(SETTLED, key="7")
        assert rung == []
    assert rung == [str(run.pk)]


def test_ordinary_waits_of_other_kinds_are_not_events(db: None) -> None:
    stopped()
    assert came(name="refund an order", key="").wait is None


# --- what is kept -----------------------------------------------------------------------------------


def test_what_was_said_moves_to_the_wait_and_expires_and_goes_with_its_run(db: None) -> None:
    came(body={"name": "Ada"})
    assert InboundBody.objects.count() == 1
    run = start("event", {"amount": 7}, user="p-1")
    advance(str(run.pk))
    assert InboundBody.objects.count() == 0
    event = InboundEvent.objects.get()
    assert event.subject == one(run).subject != ""
    assert "Ada" not in str(sql("SELECT to_jsonb(e)::text FROM lockstep_workflows_inboundevent AS e"))


def test_an_event_that_nobody_wanted_for_seven_days_says_nothing_any_more(db: None) -> None:
    event = came(body="old")
    (body,) = InboundBody.objects.all()
    assert timedelta(days=6.9) < body.expires_at - timezone.now() <= timedelta(days=7)
    sql(
        "SELECT lockstep_core_partition_v1('lockstep_workflows_inboundbody', clock_timestamp() + interval '1 second')"
    )
    sql("UPDATE lockstep_workflows_inboundbody SET expires_at = clock_timestamp() + interval '0.05 seconds'")
    time.sleep(0.1)
    assert event.body is None
    run = waiting()
    event.refresh_from_db()
    assert (event.wait, run.status) == (None, "queued")


def test_events_are_registered_for_retention_ageing_and_erasure() -> None:
    assert ports.retention.get()["lockstep_workflows.InboundBody"].keep == timedelta(days=7)
    assert ports.ageing.get()["lockstep_workflows.InboundEvent"].at == "received_at"
    assert ports.subjects.get()["lockstep_workflows.InboundEvent"].blank == ("subject", "key")


BAD: dict[str, dict[str, Any]] = {
    "no name": {"name": ""}, "a name too long": {"name": "x" * 201}, "NUL in the name": {"name": "a\0"},
    "a name that is none": {"name": 7}, "a key too long": {"key": "x" * 201}, "NUL in the key": {"key": "\0"},
    "NUL in the body": {"body": {"a": "\0"}}, "no JSON": {"body": {1, 2}}, "NaN": {"body": float("nan")},
    "half a character": {"body": "\ud83d"}, "too large": {"body": "x" * 300_000}, "NUL": {"dedupe": "\0"},
    "no source": {"source": ""},
}  # fmt: skip


@pytest.mark.parametrize("given", BAD.values(), ids=BAD)
def test_bad_events_are_refused_and_nothing_is_written(given: dict[str, Any], db: None) -> None:
    with pytest.raises(ValueError, match="event"):
        receive(**({"name": SETTLED} | given))
    assert not InboundEvent.objects.exists()


def test_long_and_odd_but_fine(db: None) -> None:
    event, new = receive("n" * 200, key="é" * 200, body=None, dedupe="d" * 5_000)
    assert new
    assert event.dedupe.startswith("sha256:")
    assert not receive("n" * 200, dedupe="d" * 5_000)[1]


# --- over HTTP ----------------------------------------------------------------------------------------


def test_a_signed_event_is_kept_and_wakes_its_run(
    made: webhooks.Made, django_capture_on_commit_callbacks: Any
) -> None:
    run = waiting()
    with django_capture_on_commit_callbacks(execute=True):
        response = send(made, BODY, id="msg_1")
    assert (response.status_code, response.json()["new"]) == (202, True)
    event = InboundEvent.objects.get()
    assert (event.source, event.dedupe, event.name, event.key) == ("payments", "msg_1", SETTLED, "7")
    again = send(made, BODY, id="msg_1")
    assert (again.status_code, again.json()) == (200, {"event": str(event.pk), "new": False})
    assert went_on(run).result["answer"] == BODY


FORGED: dict[str, dict[str, Any]] = {
    "another secret": {"secret": "whsec_" + "YW5vdGhlciBzZWNyZXQgb2YgdGVzdHM="},
    "too old": {"now": time.time() - 310},
    "from the future": {"now": time.time() + 3_000},
    "no signature": {"headers": {"webhook-signature": ""}},
    "a signature of another body": {"headers": {"webhook-signature": "v1,AAAA"}},
    "another id than was signed": {"headers": {"webhook-id": "msg_2"}},
    "no time": {"headers": {"webhook-timestamp": "soon"}},
    "an address that is none": {"url": "/lockstep/events/" + "x" * 43 + "/"},
    "an odd address": {"url": "/lockstep/events/%F0%9F%98%80/"},
}


@pytest.mark.parametrize("how", FORGED.values(), ids=FORGED)
def test_what_is_not_the_senders_is_401_without_a_word(how: dict[str, Any], made: webhooks.Made) -> None:
    for body in (BODY, b"no json"):
        response = send(made, body, **how)
        assert (response.status_code, response.content) == (401, b"")
    assert not InboundEvent.objects.exists()


def test_an_address_that_is_switched_off_or_renewed_is_none(made: webhooks.Made) -> None:
    Webhook.objects.update(active=False)
    assert send(made, BODY).status_code == 401
    again = webhooks.make("payments", key_path="data.order")
    assert send(made, BODY).status_code == 401
    assert send(made, BODY, url=again.url).status_code == 401
    assert send(again, BODY).status_code == 202


def test_a_secret_that_the_sender_has_issued(made: webhooks.Made, settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"webhook_secrets": {"payments": SECRET}}}
    assert send(made, BODY).status_code == 401
    assert send(made, BODY, secret=SECRET).status_code == 202
    both = f"{SECRET} {made.secret}"
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"webhook_secrets": {"payments": both}}}
    assert send(made, BODY).status_code == 202


def test_a_derived_secret_outlives_a_change_of_the_secret_key(made: webhooks.Made, settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert send(made, BODY).status_code == 202
    settings.SECRET_KEY_FALLBACKS = []
    assert send(made, BODY).status_code == 401


def test_neither_address_nor_secret_is_in_the_database(made: webhooks.Made) -> None:
    (row,) = sql("SELECT to_jsonb(w)::text FROM lockstep_workflows_webhook AS w")
    assert made.url.rstrip("/").rsplit("/", 1)[1] not in row[0]
    assert made.secret.removeprefix("whsec_") not in row[0]


NOT_EVENTS: dict[str, tuple[Any, str]] = {
    "no json": (b"{", "Expecting"), "no text": (b"\xff\xfe\x00", "codec"), "NaN": (b'{"a": NaN}', "NaN"),
    "no type": ({"data": {"order": 7}}, "'type'"), "no key": ({"type": SETTLED, "data": {}}, "'data.order'"),
    "a list": ([1], "'type'"), "a key that is none": ({"type": SETTLED, "data": {"order": [7]}}, "neither"),
    "NUL": ({"type": SETTLED, "data": {"order": "a\0"}}, "NUL"), "deep": (b"[" * 100_000, "recursion"),
    "digits": (b'{"type": ' + b"1" * 5_000 + b"}", "digits"),
    "long": ({"type": "x" * 201, "data": {"order": 1}}, "200 characters"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "told"), NOT_EVENTS.values(), ids=NOT_EVENTS)
def test_what_is_signed_and_no_event_is_400_and_says_why(body: Any, told: str, made: webhooks.Made) -> None:
    response = send(made, body)
    assert response.status_code == 400
    assert told in response.json()["error"]
    assert not InboundEvent.objects.exists()


def test_too_large_is_413_whoever_sends_it(made: webhooks.Made, settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"max_event_bytes": 200}}
    for how in ({}, {"secret": SECRET}):
        assert send(made, BODY | {"more": "x" * 200}, **how).status_code == 413
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 50
    assert send(made, BODY).status_code == 413


def test_only_a_post_is_taken(made: webhooks.Made) -> None:
    assert Client().get(made.url.removeprefix("https://desk.example.com")).status_code == 405


def test_where_key_and_name_stand() -> None:
    body = {"a": [{"b": 5}], "type": "t", "c": True}
    assert webhooks.named(Webhook(event="fixed"), body) == ("fixed", "")
    assert webhooks.named(Webhook(key_path="a.0.b"), body) == ("t", "5")
    for path in ("a.1.b", "a.b", "c", "a", "x", "."):
        with pytest.raises(ValueError, match="does not say its key"):
            webhooks.named(Webhook(event="fixed", key_path=path), body)


def test_a_thousand_events_at_once_are_all_kept_and_find_their_runs(made: webhooks.Made) -> None:
    began = time.monotonic()
    for at in range(1_000):
        assert send(made, {"type": SETTLED, "data": {"order": at}}, id=f"msg_{at}").status_code == 202
    took = time.monotonic() - began
    print(f"1,000 events in {took:.1f} s")
    assert took < 60
    run = start("event", {"amount": 999})
    assert advance(str(run.pk)) == "queued"
    assert InboundEvent.objects.filter(wait=None).count() == 999
    sql("UPDATE lockstep_workflows_inboundevent SET received_at = received_at - interval '1 hour'")
    for _ in range(11):
        sweeping.due()
    assert not InboundEvent.objects.filter(looked_at=None).exists()


def test_looking_for_a_wait_reads_no_table_from_end_to_end(db: None) -> None:
    sql(
        "INSERT INTO lockstep_workflows_inboundevent (id, source, dedupe, name, key, subject, received_at, looked_at)"
        " SELECT gen_random_uuid(), 's', n::text, 'other', n::text, '', now(), now()"
        " FROM generate_series(1, 20000) AS n"
    )
    sql("ANALYZE lockstep_workflows_inboundevent")
    for where in (
        "name = 'other' AND key = '77' AND wait_id IS NULL",
        "looked_at IS NULL AND received_at < now()",
    ):
        plan = sql(f"EXPLAIN SELECT id FROM lockstep_workflows_inboundevent WHERE {where}")
        assert not any("Seq Scan" in line for (line,) in plan), plan


# --- the command and the settings ---------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("lockstep_webhook", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_makes_lists_and_switches(db: None, settings: Any) -> None:
    said = command("make", "payments", "--event", SETTLED, "--key", "order")
    secret = said.split("Secret: ")[1].split()[0]
    url = said.split("Address: ")[1].split()[0]
    made = webhooks.Made(Webhook.objects.get(), url, secret)
    assert send(made, {"order": 5}).status_code == 202
    assert "payments: payment.settled, key order, on; 1 came" in command("list")
    command("off", "payments")
    assert send(made, {"order": 6}).status_code == 401
    assert "off" in command("list")
    command("on", "payments")
    assert send(made, {"order": 6}).status_code == 202
    with pytest.raises(CommandError, match="make other"):
        command("off", "other")
    with pytest.raises(CommandError, match="source"):
        command("make", "x" * 101)
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"webhook_secrets": {"payments": SECRET}}}
    assert SECRET not in command("make", "payments")


@pytest.mark.parametrize(
    "given",
    [{"webhook_secrets": {"a": "short"}}, {"webhook_secrets": {"a": ""}}, {"webhook_secrets": {"a": None}},
     {"webhook_secrets": "x"}, {"site_url": "desk.example.com"}, {"self_approval": "no"}, {"link_days": 0},
     {"max_event_bytes": 0}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_used_are_said(given: dict[str, Any], settings: Any) -> None:
    from lockstep.workflows.conf import settings as ours

    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": given}
    with pytest.raises(ImproperlyConfigured, match=next(iter(given))):
        ours()
