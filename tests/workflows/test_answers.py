"""Answers to what runs wait for: given once, by who may, to what was shown; and no run misses one."""

from __future__ import annotations

import itertools
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from lockstep.core.models import Notice
from lockstep.workflows import answer, answer_input, cancel, receive, retry, sweeping
from lockstep.workflows import start as begin
from lockstep.workflows.changes import Change, absent, changes
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import InvalidAnswer, MayNotAnswer, NotAnswerable
from lockstep.workflows.models import Run, Wait
from lockstep.workflows.ownership import here
from tests.flows.waiting import PROPOSAL

ANSWER = "lockstep_workflows.answer_wait"


def sql(statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def stopped(name: str = "refund", given: Any = None, **more: Any) -> Run:
    run = begin(name, {"amount": 120} if given is None else given, **more)
    assert advance(str(run.pk)) == "waiting"
    return run


def went_on(run: Run) -> Run:
    """The run after whoever is told of it has taken it on."""
    run.refresh_from_db()
    assert run.status == "queued"
    advance(str(run.pk))
    run.refresh_from_db()
    return run


def one(run: Run, **more: Any) -> Wait:
    return Wait.objects.get(run=run, **more)


def reviewer(name: str = "ann", *groups: str) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.add(Permission.objects.get(codename="answer_wait"))
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    return User.objects.get(pk=user.pk)


@pytest.fixture
def ann(db: None) -> User:
    return reviewer()


# --- each answer ----------------------------------------------------------------------------------


def test_approved_goes_on_with_what_was_proposed(ann: User) -> None:
    run = stopped()
    wait = answer(one(run), "approve", by=ann, comment="Fine.")
    assert (wait.status, wait.decision, wait.answered_by) == ("answered", "approve", str(ann.pk))
    assert wait.comment == "Fine."
    assert wait.changes == []
    assert timezone.now() - wait.answered_at < timedelta(minutes=1)
    run = went_on(run)
    assert run.status == "succeeded"
    assert run.result["answer"] == {"decision": "approve", "args": PROPOSAL, "by": str(ann.pk)}
    assert one(run).taken_at is not None


def test_edited_goes_on_with_what_the_person_made_of_it_and_the_difference_is_kept(ann: User) -> None:
    run = stopped()
    made = PROPOSAL | {"amount": 50, "lines": [{"sku": "H9-UC3"}, {"sku": "A1"}]}
    made.pop("weight")
    wait = answer(one(run), "edit", args=made, by=ann)
    assert wait.changes == [
        Change("amount", 120, 50),
        Change("lines[1]", absent, {"sku": "A1"}),
        Change("weight", 1.5, absent),
    ]
    assert went_on(run).result["answer"]["args"] == made


def test_rejected_goes_on_with_nothing_to_do(ann: User) -> None:
    run = stopped()
    answer(one(run), "reject", by=ann, comment="No.")
    assert went_on(run).result["answer"] == {"decision": "reject", "args": {}, "by": str(ann.pk)}


def test_an_interrupt_of_the_graphs_own_gets_any_json(ann: User) -> None:
    run = stopped("question", {})
    answer_input(one(run), {"colour": ["red", None, 1.5]}, by=ann)
    assert went_on(run).result["answer"] == {"colour": ["red", None, 1.5]}


def test_two_questions_of_one_node_are_answered_one_after_the_other(ann: User) -> None:
    run = stopped("twice", {})
    answer(one(run, name="first"), "approve", by=ann)
    assert went_on(run).status == "waiting"
    answer(one(run, name="second"), "reject", by=ann)
    assert went_on(run).result["steps"] == ["approve", "reject"]


def test_a_node_that_raises_after_the_answer_fails_the_run_and_the_answer_stays(ann: User) -> None:
    run = stopped("breaks", {})
    answer(one(run), "approve", by=ann)
    run = went_on(run)
    assert (run.status, run.reason, run.node) == ("failed", "ValueError", "decide")
    assert one(run).status == "answered"
    with pytest.raises(NotAnswerable):
        answer(one(run), "reject", by=ann)


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
def test_three_questions_side_by_side_are_answered_in_any_order(order: tuple[str, ...], ann: User) -> None:
    run = stopped("three", {"amount": 9})
    for at, name in enumerate(order):
        answer(one(run, name=name), "approve" if name != "b" else "reject", by=ann)
        assert went_on(run).status == ("succeeded" if at == 2 else "waiting")
    assert sorted(run.result["steps"]) == ["a:approve:9", "b:reject:None", "c:approve:9", "join"]
    assert Wait.objects.filter(run=run).count() == 3


def test_two_of_three_answered_before_anybody_goes_on(ann: User) -> None:
    run = stopped("three", {"amount": 9})
    for name in "ca":
        answer(one(run, name=name), "approve", by=ann)
    assert went_on(run).status == "waiting"
    assert one(run, name="b").status == "open"
    answer(one(run, name="b"), "approve", by=ann)
    assert went_on(run).status == "succeeded"


# --- once -----------------------------------------------------------------------------------------


def test_who_comes_second_hears_who_was_faster_and_when(ann: User) -> None:
    run = stopped()
    first = answer(one(run), "approve", by=ann)
    for decision in ("approve", "reject"):
        with pytest.raises(NotAnswerable, match=r"ann was faster: answered 20.* \(approve\)") as refusal:
            answer(one(run), decision, by=reviewer(f"bob {decision}"))
        error = refusal.value
        assert (error.reason, error.answered_by, error.decision) == ("answered", str(ann.pk), "approve")
        assert error.answered_at == first.answered_at
    assert one(run).answer == first.answer


def test_an_old_copy_of_the_row_does_not_answer_again(ann: User) -> None:
    run = stopped()
    old = one(run)
    answer(one(run), "reject", by=ann)
    with pytest.raises(NotAnswerable):
        answer(old, "approve", by=ann)
    assert went_on(run).result["answer"]["decision"] == "reject"


def test_late_is_refused_by_the_clock_of_the_database_before_anybody_has_swept(ann: User) -> None:
    run = stopped()
    sql("UPDATE lockstep_workflows_wait SET due_at = clock_timestamp()")
    with pytest.raises(NotAnswerable, match="too late") as refusal:
        answer(one(run), "approve", by=ann)
    assert refusal.value.reason == "expired"
    assert one(run).status == "open"


def test_expired_goes_on_without_an_answer_and_takes_none(ann: User) -> None:
    run = stopped()
    sql("UPDATE lockstep_workflows_wait SET due_at = clock_timestamp()")
    sql("UPDATE lockstep_workflows_run SET wake_at = clock_timestamp()")
    sweeping.due()
    with pytest.raises(NotAnswerable) as refusal:
        answer(one(run), "approve", by=ann)
    assert refusal.value.reason == "expired"
    assert went_on(run).result["answer"] == {"decision": "expired", "args": {}, "by": ""}


def test_withdrawn_takes_no_answer(ann: User) -> None:
    run = stopped()
    cancel(run)
    with pytest.raises(NotAnswerable, match="run has ended") as refusal:
        answer(one(run), "approve", by=ann)
    assert refusal.value.reason == "withdrawn"


def test_a_run_that_is_tried_again_asks_anew_and_people_are_told_again(ann: User) -> None:
    run = stopped()
    shown = one(run)
    cancel(run)
    retry(run)
    assert went_on(run).status == "waiting"
    assert [resolves for _, resolves in notices(run)] == [False, True, False]
    sql("UPDATE lockstep_workflows_wait SET status = 'withdrawn', payload = NULL, digest = 'old'")
    sql("UPDATE lockstep_workflows_run SET status = 'queued'")
    assert went_on(run).status == "waiting"
    assert (one(run).digest, one(run).proposal) == (shown.digest, PROPOSAL)
    answer(shown, "approve", by=ann)
    assert went_on(run).status == "succeeded"


def test_what_is_not_there_takes_no_answer(ann: User) -> None:
    for key in (uuid.uuid4(), "no key"):
        with pytest.raises(NotAnswerable) as refusal:
            answer(key, "approve", by=ann)
        assert refusal.value.reason == "missing"


# --- what was shown -------------------------------------------------------------------------------


def test_a_stale_digest_is_refused(ann: User) -> None:
    run = stopped()
    shown = one(run)
    sql("UPDATE lockstep_workflows_wait SET digest = repeat('0', 64)")
    for more in ({}, {"digest": shown.digest}, {"digest": ""}):
        with pytest.raises(NotAnswerable, match="Open it again") as refusal:
            answer(shown, "approve", by=ann, **more)
        assert refusal.value.reason == "stale"
    assert one(run).status == "open"


INVALID: dict[str, tuple[Any, str]] = {
    "too much": (PROPOSAL | {"amount": 501}, "amount"),
    "another type": (PROPOSAL | {"amount": "120"}, "amount"),
    "a truth for a number": (PROPOSAL | {"amount": True}, "amount"),
    "missing": ({"reason": "late"}, ""),
    "not of the list": (PROPOSAL | {"reason": "because"}, "reason"),
    "no such day": (PROPOSAL | {"on": "2026-02-30"}, "on"),
    "too long": (PROPOSAL | {"message": "x" * 201}, "message"),
    "deep within": (PROPOSAL | {"lines": [{"sku": "a"}, {"sku": 5}]}, "lines[1].sku"),
}


@pytest.mark.parametrize(("args", "where"), INVALID.values(), ids=INVALID)
def test_an_edit_that_the_schema_does_not_allow_is_refused(args: Any, where: str, ann: User) -> None:
    run = stopped()
    with pytest.raises(InvalidAnswer) as refusal:
        answer(one(run), "edit", args=args, by=ann)
    assert [path for path, _ in refusal.value.problems] == [where]
    assert one(run).status == "open"


@pytest.mark.parametrize(
    "args",
    [{"amount": 5, "message": "a\0b"}, {"amount": 5, "x": float("nan")}, {"amount": 5, "x": {1}},
     {"amount": 5, "message": "\ud83d"}],
    ids=["NUL", "NaN", "a set", "half a character"],
)  # fmt: skip
def test_an_edit_that_is_no_json_is_refused(args: Any, ann: User) -> None:
    run = stopped()
    with pytest.raises(InvalidAnswer, match="JSON"):
        answer(one(run), "edit", args=args, by=ann)


def test_what_has_no_schema_cannot_be_edited_and_approval_changes_nothing(ann: User) -> None:
    run = stopped("twice", {})
    with pytest.raises(InvalidAnswer, match="no schema"):
        answer(one(run), "edit", args={"amount": 1}, by=ann)
    with pytest.raises(InvalidAnswer, match="decide 'edit'"):
        answer(one(run), "approve", args={"amount": 2}, by=ann)
    with pytest.raises(InvalidAnswer, match="comment"):
        answer(one(run), "approve", by=ann, comment="x" * 2_001)


def test_each_kind_has_its_own_way(ann: User) -> None:
    event, asked, review = stopped("event"), stopped("question", {}), stopped()
    for run in (event, asked):
        with pytest.raises(ValueError, match="another kind"):
            answer(one(run), "approve", by=ann)
    for run in (event, review):
        with pytest.raises(ValueError, match="another kind"):
            answer_input(one(run), 1, by=ann)
    with pytest.raises(ValueError, match="'approve', 'edit' or 'reject'"):
        answer(one(review), "perhaps", by=ann)


SCHEMAS: dict[str, Any] = {
    "no schema": {"type": "money"},
    "elsewhere": {"properties": {"a": {"$ref": "https://example.com/schema.json"}}},
    "a file": {"$ref": "file:///etc/passwd"},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_that_cannot_be_used_fails_in_its_node_and_not_before_a_reviewer(schema: Any) -> None:
    from lockstep.workflows import request_review

    with pytest.raises(ValueError, match="The schema"):
        request_review("x", {}, schema=schema)


# --- who may --------------------------------------------------------------------------------------


def test_nobody_answers_without_the_permission_a_name_or_the_group(db: None) -> None:
    run = stopped(given={"amount": 5, "answer": {"assignee": "finance"}})
    off = reviewer("off", "finance")
    off.is_active = False
    plain = User.objects.create_user("plain")
    plain.groups.add(Group.objects.get(name="finance"))
    for person in (None, AnonymousUser(), plain, off, reviewer("other", "sales")):
        for decision in ("approve", "reject"):
            with pytest.raises(MayNotAnswer) as refusal:
                answer(one(run), decision, by=person)
            assert isinstance(refusal.value, PermissionDenied)
    assert one(run).status == "open"
    answer(one(run), "approve", by=reviewer("eve", "finance", "sales"))


def test_a_superuser_is_in_every_group(db: None) -> None:
    run = stopped(given={"amount": 5, "answer": {"assignee": "finance"}})
    answer(one(run), "approve", by=User.objects.create_superuser("root"))


@pytest.mark.parametrize("root", [False, True])
def test_nobody_approves_what_a_run_of_their_own_proposes(root: bool, settings: Any, db: None) -> None:
    own = User.objects.create_superuser("root") if root else reviewer()
    run = stopped(user=own)
    for decision, args in (("approve", None), ("edit", PROPOSAL)):
        with pytest.raises(MayNotAnswer, match="Somebody else"):
            answer(one(run), decision, args=args, by=own)
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"self_approval": True}}
    answer(one(run), "approve", by=own)


def test_taking_back_what_one_asked_for_is_fine(ann: User) -> None:
    run = stopped(user=ann)
    answer(one(run), "reject", by=ann)
    assert went_on(run).status == "succeeded"


def test_a_user_answers_what_a_run_of_their_own_asks_and_no_other(db: None) -> None:
    own, other = User.objects.create_user("own"), User.objects.create_user("other")
    run = stopped("question", {}, user=own)
    with pytest.raises(MayNotAnswer):
        answer_input(one(run), "red", by=other)
    answer_input(one(run), "red", by=own)
    assert went_on(run).result["answer"] == "red"


# --- the run ---------------------------------------------------------------------------------------


def test_the_doorbell_rings_when_the_answer_is_committed_and_not_before(
    ann: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    rung: list[Any] = []
    monkeypatch.setattr("lockstep.workflows.doorbell.ring", lambda run, queue="": rung.append(run))
    run = stopped()
    with django_capture_on_commit_callbacks() as callbacks:
        answer(one(run), "approve", by=ann)
    assert rung == []
    for callback in callbacks:
        callback()
    assert rung == [str(run.pk)]


def test_a_lost_doorbell_rings_with_the_next_sweep_however_old_the_run_is(ann: User) -> None:
    run = stopped()
    sql("UPDATE lockstep_workflows_run SET at = at - interval '20 days'")
    answer(one(run), "approve", by=ann)
    assert (str(run.pk), "refund") in sweeping.due()


def test_an_answer_while_the_worker_is_about_to_stop_is_not_missed(ann: User) -> None:
    """Between the commit of the question and the end of its owner's work."""
    from lockstep.workflows import engine

    run = begin("refund", {"amount": 120})
    held = here().acquire(str(run.pk))
    end = engine._Advance(held).end()
    assert end.status == "waiting"
    answer(one(run), "approve", by=ann)
    run.refresh_from_db()
    assert run.status == "running"
    assert engine._release(held, end)["status"] == "queued"
    assert went_on(run).status == "succeeded"


def test_an_answer_that_came_before_its_worker_died_is_taken_by_the_next(ann: User) -> None:
    run = stopped()
    answer(one(run), "approve", by=ann)
    held = here().acquire(str(run.pk))
    assert held.row["answers"]
    sql("UPDATE lockstep_workflows_run SET lease_until = clock_timestamp() - interval '1 second'")
    assert advance(str(run.pk)) == "succeeded"
    run.refresh_from_db()
    assert run.result["answer"]["decision"] == "approve"


# --- each in its time ------------------------------------------------------------------------------


def late(run: Run, kind: str) -> None:
    """The last moment of one of its waits has come, as the run sees it."""
    sql(
        "UPDATE lockstep_workflows_wait SET due_at = clock_timestamp() WHERE run_id = %s AND kind = %s",
        run.pk,
        kind,
    )
    sql(
        "UPDATE lockstep_workflows_run SET wake_at = clock_timestamp() WHERE id = %s AND status = 'waiting'",
        run.pk,
    )


def test_waits_side_by_side_end_each_at_its_own_moment(ann: User) -> None:
    run = stopped("mixed", {"amount": 3})
    run.refresh_from_db()
    dues = dict(Wait.objects.filter(run=run).values_list("kind", "due_at"))
    assert run.wake_at == dues["timer"] < dues["event"] < dues["review"]

    late(run, "timer")
    sweeping.due()
    assert dict(Wait.objects.filter(run=run).values_list("kind", "status")) == {
        "timer": "answered", "event": "open", "review": "open",
    }  # fmt: skip
    assert went_on(run).status == "waiting"
    assert run.wake_at == dues["event"]
    assert dict(Wait.objects.filter(run=run).values_list("kind", "due_at"))["review"] == dues["review"]

    late(run, "event")
    sweeping.due()
    assert went_on(run).status == "waiting"
    assert run.wake_at == dues["review"]

    answer(one(run, kind="review"), "approve", by=ann)
    assert went_on(run).status == "succeeded"
    assert sorted(run.result["steps"]) == ["ask:approve:3", "heard:None", "rested"]


def test_a_wait_that_ends_while_the_run_is_at_work_wakes_it_when_it_stops(ann: User) -> None:
    run = stopped("mixed", {"amount": 3})
    answer(one(run, kind="review"), "approve", by=ann)
    late(run, "timer")
    assert went_on(run).status == "waiting"
    sweeping.due()
    assert went_on(run).status == "waiting"
    receive("stock.came", key="h9", body=7)
    late(run, "event")
    sweeping.due()
    assert went_on(run).status == "succeeded"


def test_two_moments_that_come_together_are_both_gone_on_with(db: None) -> None:
    run = stopped("mixed", {"amount": 3})
    late(run, "timer")
    late(run, "review")
    sweeping.due()
    assert went_on(run).status == "waiting"
    assert list(Wait.objects.filter(run=run, status="open").values_list("kind", flat=True)) == ["event"]


# --- who is told ------------------------------------------------------------------------------------


def notices(run: Run) -> list[tuple[str, bool]]:
    found = Notice.objects.filter(facts__run=str(run.pk)).order_by("pk")
    return [(notice.dedup_key.rsplit(".", 1)[1], notice.resolves) for notice in found]


def test_people_are_told_once_for_each_question_and_again_when_it_is_over(ann: User) -> None:
    run = stopped("three", {"amount": 9})
    waits = {wait.name: str(wait.pk) for wait in Wait.objects.filter(run=run)}
    assert sorted(notices(run)) == sorted((key, False) for key in waits.values())
    answer(one(run, name="b"), "approve", by=ann)
    assert notices(run)[3:] == [(waits["b"], True)]
    went_on(run)  # a and c are asked again
    assert len(notices(run)) == 4
    cancel(run)
    assert sorted(notices(run)[4:]) == sorted((waits[name], True) for name in "ac")


def test_a_notice_has_nothing_of_the_run_and_leads_to_the_queue(ann: User, settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": {"site_url": "https://desk.example.com/"}}
    stopped(given={"amount": 417, "answer": {"assignee": "finance"}})
    notice = Notice.objects.get()
    assert (notice.topic, notice.severity) == ("workflows.review", "info")
    text = f"{notice.subject} {notice.body} {notice.facts}"
    assert "https://desk.example.com/admin/lockstep_workflows/wait/" in notice.body
    assert "finance" in notice.body
    assert notice.subject == "A review waits: refund"
    for word in ("417", "H9-UC3", "Sorry", "parcel", "refund an order"):
        assert word not in text


def test_too_late_closes_the_incident(db: None) -> None:
    run = stopped()
    late(run, "review")
    sweeping.due()
    assert [resolves for _, resolves in notices(run)] == [False, True]
    assert "in time" in Notice.objects.latest("pk").body


def test_erasing_the_person_closes_the_incident(ann: User) -> None:
    run = stopped(user=ann)
    Wait.objects.filter(run=run).delete()
    assert [resolves for _, resolves in notices(run)] == [False, True]


def test_nobody_is_told_of_times_and_events(db: None) -> None:
    assert notices(stopped("event")) == notices(stopped("sleeper", {"amount": 60})) == []


# --- what differs -----------------------------------------------------------------------------------

DIFFERENT: dict[str, tuple[Any, Any, list[Change]]] = {
    "nothing": ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, []),
    "whole and part are one number": ({"a": 1}, {"a": 1.0}, []),
    "a truth is no number": ({"a": 1}, {"a": True}, [Change("a", 1, True)]),
    "null is something": ({"a": None}, {}, [Change("a", None, absent)]),
    "a name that is none": ({"a b": 1}, {"a b": 2}, [Change("['a b']", 1, 2)]),
    "within": ({"a": {"b c": [0, 1]}}, {"a": {"b c": [0, 2]}}, [Change("a['b c'][1]", 1, 2)]),
    "another kind": ({"a": {"b": 1}}, {"a": [1]}, [Change("a", {"b": 1}, [1])]),
    "itself": (1, 2, [Change("", 1, 2)]),
}


@pytest.mark.parametrize(("old", "new", "expected"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_named_by_its_path(old: Any, new: Any, expected: list[Change]) -> None:
    assert changes(old, new) == expected


@pytest.mark.parametrize(
    ("reference", "trouble"),
    [("#/$defs/gone", "no such part"), ("https://example.com/a.json", "its own"), ("#/$defs/a", "")],
)
def test_a_schema_refers_to_parts_that_it_has(reference: str, trouble: str) -> None:
    from lockstep.workflows import schemas

    schema = {"$defs": {"a": {"type": "integer"}}, "properties": {"amount": {"$ref": reference}}}
    if not trouble:
        schemas.check(schema)
        assert schemas.problems({"amount": "x"}, schema)
        return
    with pytest.raises(ValueError, match=trouble):
        schemas.check(schema)
