"""From the outbox to people: who is told, in which order, and what becomes of it when nobody listens."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from lockstep.core import ports
from lockstep.core.models import Delivery, Notice, SinkState
from lockstep.core.notify import claims
from lockstep.core.notify.deliverer import Deliverer, deliver
from lockstep.core.notify.handing import hand_out
from lockstep.core.notify.housekeeping import tidy
from lockstep.core.redacted import SEAL, Redacted
from lockstep.core.settings import settings as core
from tests.core.notify.clock import pass_by
from tests.core.notify.conftest import webhook
from tests.core.notify.receiver import Receiver, running
from tests.core.notify.sinks import Hanging, Memory

Sinks = Callable[..., None]
pytestmark = pytest.mark.django_db


def send(subject: str = "Spent", **facts: Any) -> Notice:
    ports.notify.get().send(ports.Notice(facts.pop("topic", "budgets.hard"), subject, **facts))
    return Notice.objects.latest("id")


def run() -> Any:
    return Deliverer().run()


def states() -> list[str]:
    return list(Delivery.objects.order_by("notice_id", "sink").values_list("state", flat=True))


# --- the outbox -----------------------------------------------------------------------------------


def test_a_notice_is_a_row_of_the_callers_transaction() -> None:
    with transaction.atomic():
        send()
        transaction.set_rollback(True)
    assert not Notice.objects.exists()
    send("It stays")
    assert Notice.objects.get().subject == "It stays"


def test_texts_that_no_database_can_hold_do_not_lose_a_notice(memory: type[Memory]) -> None:
    awkward = {
        "nul": "a\0b", "at": datetime(2026, 1, 1, tzinfo=UTC), "price": Decimal("1.20"), "nan": float("nan"),
        "object": object(), ("a", "tuple"): 1, "half": "\ud800", "deep": [{"x": "\0"}],
    }  # fmt: skip
    send("one\0\ntwo \ud800" + "x" * 500, body="y" * 10_000_000 + "\0", topic="t" * 200, facts=awkward)
    notice = Notice.objects.get()
    assert len(notice.subject) == 300
    assert notice.subject.startswith("one two ?xxx")
    assert len(notice.body) == 20_000
    assert notice.body.endswith("characters more)")
    assert notice.facts["price"] == "1.20"
    assert notice.facts["nul"] == "ab"
    run()
    assert [message.id for message in memory.messages] == [str(notice.pk)]


def test_endless_facts_are_left_out_and_said_to_be(memory: type[Memory]) -> None:
    send(facts={"all": ["x" * 1000] * 1000})
    assert set(Notice.objects.get().facts) == {"left_out"}


def test_a_body_written_inside_the_database_is_cut_for_receivers(memory: type[Memory]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_core_notify_v1('budgets.hard', 's', repeat('z', 1000000), 'info', '', false, NULL)"
        )
    run()
    assert len(memory.messages[0].body) == 20_000


def test_long_keys_that_differ_at_their_end_are_two_incidents() -> None:
    send(dedup_key="k" * 300 + "1")
    send(dedup_key="k" * 300 + "2")
    assert len(set(Notice.objects.values_list("dedup_key", flat=True))) == 2


def test_a_severity_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'warning'"):
        send(severity="waring")


# --- who is told ----------------------------------------------------------------------------------


def test_each_sink_is_told_of_its_topics_from_its_level_on(sinks: Sinks) -> None:
    backend = "tests.core.notify.sinks.Memory"
    sinks(
        {
            "all": {"BACKEND": backend},
            "budgets": {"BACKEND": backend, "TOPICS": ["budgets.*"]},
            "loud": {"BACKEND": backend, "LEAST": "error"},
        }
    )
    send("quiet", topic="reviews.waiting", severity="info")
    send("warned", severity="warning")
    send("failed", topic="jobs.failed", severity="critical")
    hand_out()
    told = list(Delivery.objects.order_by("notice_id", "sink").values_list("notice__subject", "sink"))
    assert told == [
        ("quiet", "all"), ("warned", "all"), ("warned", "budgets"), ("failed", "all"), ("failed", "loud"),
    ]  # fmt: skip


def test_a_resolve_goes_to_whom_its_trigger_went_however_quiet_it_is(sinks: Sinks) -> None:
    backend = "tests.core.notify.sinks.Memory"
    sinks({"all": {"BACKEND": backend}, "loud": {"BACKEND": backend, "LEAST": "error"}})
    send("on", severity="critical", dedup_key="a")
    send("hm", severity="warning", dedup_key="b")
    hand_out()
    send("a is over", dedup_key="a", resolves=True)
    send("b is over", dedup_key="b", resolves=True)
    send("a is over again", dedup_key="a", resolves=True)
    hand_out()
    told = list(
        Delivery.objects.filter(sink="loud").order_by("notice_id").values_list("notice__subject", flat=True)
    )
    assert told == ["on", "a is over"]


def test_without_a_sink_nothing_is_kept_waiting_for_one(sinks: Sinks) -> None:
    send()
    run()
    sinks({"memory": {"BACKEND": "tests.core.notify.sinks.Memory"}})
    run()
    assert Memory.messages == []


# --- in order, once ---------------------------------------------------------------------------------


def test_a_resolve_is_never_delivered_before_its_trigger(hook: Receiver) -> None:
    send("on", dedup_key="k")
    send("off", dedup_key="k", resolves=True)
    send("other", dedup_key="other")
    hook.plan = [400]  # of this message alone: the sink goes on
    run()
    assert hook.subjects == ["on", "other"]
    pass_by(minutes=11)
    run()
    assert hook.subjects == ["on", "other", "on", "off"]
    assert states() == ["sent"] * 3


def test_a_resolve_waits_for_its_trigger_also_when_it_was_tried_just_before(memory: type[Memory]) -> None:
    send("on", dedup_key="k")
    hand_out()
    Delivery.objects.update(next_at=datetime(2100, 1, 1, tzinfo=UTC))
    send("off", dedup_key="k", resolves=True)
    run()
    assert memory.messages == []


def test_what_was_sent_is_not_sent_again(hook: Receiver) -> None:
    send()
    for _ in range(3):
        run()
        pass_by(hours=1)
    assert len(hook.requests) == 1


def test_repeats_of_one_incident_that_waited_are_one_message_that_names_them(memory: type[Memory]) -> None:
    memory.down = True
    first = send("1st", dedup_key="k")
    run()
    middle = send("2nd", dedup_key="k")
    last = send("3rd", dedup_key="k")
    send("over", dedup_key="k", resolves=True)
    again = send("again", dedup_key="k")
    memory.down = False
    pass_by(hours=1)
    run()
    told = [(message.id, message.also, message.resolves) for message in memory.messages]
    assert told[0] == (str(last.pk), (str(first.pk), str(middle.pk)), False)
    assert [resolves for *_, resolves in told] == [False, True, False]
    assert told[2][0] == str(again.pk)
    assert "2 earlier notices" in memory.messages[0].told()
    assert states() == ["sent"] * 5
    assert list(Delivery.objects.filter(told_in=last.pk).values_list("notice_id", flat=True)) == [
        first.pk,
        middle.pk,
    ]


# --- a sink that is down -----------------------------------------------------------------------------


def test_a_sink_down_for_an_hour_loses_nothing_and_floods_nobody(receiver: Receiver, sinks: Sinks) -> None:
    sinks({"ops": webhook(receiver, PER_MINUTE=10)})
    receiver.status = 503
    for minute in range(0, 60, 2):
        for budget in range(2):
            send(f"{budget} at {minute}", dedup_key=f"budget-{budget}")
        send(f"alone at {minute}")
        run()
        pass_by(minutes=2)
    attempts = len(receiver.requests)
    assert attempts <= 25  # and not one for each of the 90
    receiver.status, receiver.requests[:] = 204, []
    for _ in range(20):
        pass_by(minutes=1)
        before = len(receiver.requests)
        run()
        assert len(receiver.requests) - before <= 10
    assert set(states()) == {"sent"}
    told = [one["id"] for one in receiver.told] + [other for one in receiver.told for other in one["also"]]
    assert sorted(map(int, told)) == sorted(Notice.objects.values_list("pk", flat=True))
    assert len(receiver.told) < 45


def test_waits_grow_from_seconds_to_ten_minutes(memory: type[Memory]) -> None:
    memory.down = True
    send()
    waits = []
    for _ in range(14):
        run()
        state = SinkState.objects.get()
        waits.append((state.resume_at - _now()).total_seconds())
        pass_by(minutes=11)
    assert 0.5 < waits[0] < 4
    assert max(waits) > 60
    assert max(waits) <= 600
    assert state.failures == 14


def test_a_sink_that_is_back_is_trusted_again(memory: type[Memory]) -> None:
    memory.down = True
    send()
    run()
    memory.down = False
    pass_by(minutes=11)
    run()
    state = SinkState.objects.get()
    assert (state.failures, state.error, state.held_by) == (0, "", None)
    assert Delivery.objects.get().error == ""


def test_one_sink_down_does_not_hold_up_another(sinks: Sinks, hook: Receiver) -> None:
    with running() as down:
        down.status = 500
        sinks({"down": webhook(down), "ops": webhook(hook)})
        send()
        run()
    assert len(hook.requests) == 1
    assert states() == ["pending", "sent"]


def test_a_hanging_sink_is_cut_and_holds_up_nobody(hook: Receiver, sinks: Sinks) -> None:
    sinks({"hanging": {"BACKEND": "tests.core.notify.sinks.Hanging"}, "ops": webhook(hook)}, timeout_s=0.2)
    send("one")
    send("two")
    began = time.monotonic()
    tally = run()
    assert time.monotonic() - began < 5
    assert hook.subjects == ["one", "two"]
    assert tally.sent == 2
    stuck = Delivery.objects.filter(sink="hanging").order_by("notice_id").first()
    assert stuck is not None
    assert stuck.error == "SinkTimeout: no end after 0.2 s"
    assert SinkState.objects.get(pk="hanging").failures == 1


def test_a_message_that_a_cut_sink_took_after_all_is_not_sent_again(sinks: Sinks) -> None:
    sinks({"hanging": {"BACKEND": "tests.core.notify.sinks.Hanging"}}, timeout_s=0.2)
    send()
    deliverer = Deliverer()
    deliverer.run()
    assert states() == ["pending"]
    Hanging.free.set()
    end = time.monotonic() + 5
    while states() == ["pending"] and time.monotonic() < end:
        deliverer._collect(0.05)
    assert states() == ["sent"]


def test_retry_after_is_obeyed_and_bounded(hook: Receiver) -> None:
    send()
    hook.status, hook.answers = 429, {"Retry-After": "1800"}
    run()
    wait = (SinkState.objects.get().resume_at - _now()).total_seconds()
    assert 1790 < wait < 1810
    assert "answered 429" in Delivery.objects.get().error
    pass_by(hours=1)
    hook.answers = {"Retry-After": "99999999999"}
    run()
    assert (SinkState.objects.get().resume_at - _now()).total_seconds() < 3700


def test_what_could_not_be_delivered_for_seven_days_is_given_up_and_shown(memory: type[Memory]) -> None:
    memory.down = True
    send("on", dedup_key="k")
    send("off", dedup_key="k", resolves=True)
    run()
    pass_by(days=6, hours=23)
    run()
    tidy()
    assert states() == ["pending"] * 2
    pass_by(hours=2)
    memory.down = False
    run()
    tidy()
    assert memory.messages == []
    assert states() == ["dead"] * 2
    assert Delivery.objects.first().error == "RuntimeError"  # its text is of a stranger


def test_an_error_of_a_sink_is_kept_without_its_text(
    memory: type[Memory], caplog: pytest.LogCaptureFixture
) -> None:
    memory.down = True
    send("personal")
    with caplog.at_level(logging.DEBUG):
        run()
    assert Delivery.objects.get().error == "RuntimeError"
    assert "hunter2" not in caplog.text
    assert "personal" not in caplog.text


def test_the_pace_of_a_sink_is_kept(receiver: Receiver, sinks: Sinks) -> None:
    sinks({"ops": webhook(receiver, PER_MINUTE=3)})
    for number in range(8):
        send(f"{number}")
    run()
    assert len(receiver.requests) == 3
    pass_by(seconds=61)
    run()
    assert len(receiver.requests) == 6
    pass_by(seconds=61)
    run()
    assert receiver.subjects == [f"{number}" for number in range(8)]


# --- who holds a sink ---------------------------------------------------------------------------------


def test_a_sink_is_held_by_one_at_a_time_and_passed_on_when_its_holder_is_gone(memory: type[Memory]) -> None:
    send("one")
    send("two")
    hand_out()
    assert claims.ready(["memory"]) == {"memory"}
    wishes = core().notify
    mine = claims.claim("memory", wishes)
    assert mine is not None
    assert claims.claim("memory", wishes) is None
    pass_by(seconds=wishes.timeout_s + claims.GRACE_S + 1)
    theirs = claims.claim("memory", wishes)
    assert theirs is not None
    assert theirs.delivery == mine.delivery
    claims.failed(mine, "too late to say so", down=True)  # no longer mine: the other's hold stays
    assert SinkState.objects.get().held_by == theirs.token
    claims.sent(theirs)
    assert states() == ["sent", "pending"]


def test_old_notices_are_deleted_unless_they_wait(memory: type[Memory], sinks: Sinks) -> None:
    send("sent")
    run()
    pass_by(days=91)
    memory.down = True
    send("fresh")
    run()
    tidy()
    assert list(Notice.objects.values_list("subject", flat=True)) == ["fresh"]


def test_what_policy_redacts_does_not_leave(memory: type[Memory]) -> None:
    class Redactor:
        def redact(self, content: Any, *, feature: str | None = None, known: Any = None) -> Redacted:
            text = content if isinstance(content, str) else json.dumps(content)
            return Redacted(text.replace("Anna", f"[{feature}]"), seal=SEAL, is_json=text is not content)

    send("Anna spent", body="by Anna", facts={"feature": "support", "who": ["Anna"]}, dedup_key="Anna")
    with ports.redaction.override(Redactor()):
        run()
    told = memory.messages[0]
    assert (told.subject, told.body) == ("[support] spent", "by [support]")
    assert told.facts["who"] == ["[support]"]


def test_where_nothing_may_leave_only_the_codes_own_words_do(memory: type[Memory]) -> None:
    class Redactor:
        def redact(self, content: Any, *, feature: str | None = None, known: Any = None) -> Redacted | None:
            return None

    send("Anna spent", body="by Anna", facts={"who": ["Anna"]}, topic="somebody.elses")
    send("70 % spent", body="of 100", facts={"spent": 70}, topic="ours.budgets")
    with (
        ports.redaction.override(Redactor()),
        ports.topics.override({"ours.budgets": "a budget is nearly spent"}),
    ):
        run()
    withheld, own = memory.messages
    assert (withheld.subject, withheld.body, withheld.facts) == ("somebody.elses", "", {})
    assert (own.subject, own.body, own.facts) == ("70 % spent", "of 100", {"spent": 70})


def test_a_redaction_that_fails_lets_nothing_out(memory: type[Memory]) -> None:
    class Redactor:
        def redact(self, content: Any, *, feature: str | None = None, known: Any = None) -> Redacted:
            raise LookupError(content)

    send("Anna")
    with ports.redaction.override(Redactor()):
        run()
    assert memory.messages == []
    assert Delivery.objects.get().error == "LookupError"


def test_delivering_asks_as_often_for_many_sinks_that_have_nothing_as_for_one(
    sinks: Sinks, django_assert_max_num_queries: Any
) -> None:
    sinks({f"sink-{number}": {"BACKEND": "tests.core.notify.sinks.Memory"} for number in range(20)})
    deliver()
    with django_assert_max_num_queries(3):
        Deliverer()._step()


def _now() -> datetime:
    return datetime.now(UTC)
