"""Runs from their start to their end, in one process."""

from __future__ import annotations

import io
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from langgraph.graph import START, StateGraph

from lockstep.core import context
from lockstep.core.models import Notice
from lockstep.workflows import cancel, draining, registry, retry, start, versions, workflow
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import (
    EngineError,
    IdempotencyConflict,
    NotRetryable,
    RunBusy,
    StateTooLarge,
    UnknownWorkflow,
    Unstorable,
)
from lockstep.workflows.models import Checkpoint, GraphVersion, NodeExecution, Run, Wait
from lockstep.workflows.ownership import here
from lockstep.workflows.sweeping import due
from tests.flows.workflows import State

pytestmark = pytest.mark.django_db


def went(name: str, given: Any = None, **options: Any) -> Run:
    run = start(name, {} if given is None else given, **options)
    advance(str(run.pk))
    run.refresh_from_db()
    return run


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("linear", ["n0", "n1", "n2", "n3", "n4", "n5"]),
        ("fan_out", ["split", "a", "b", "c", "join"]),
        ("asynchronous", ["thought", "say"]),
    ],
)
def test_a_run_goes_to_its_end(name: str, steps: list[str]) -> None:
    run = went(name)
    assert run.status == "succeeded"
    assert run.result == {"steps": steps}
    assert run.error is None
    assert run.ended_at >= run.started_at >= run.at


def test_every_node_is_traced_with_the_commit_of_its_transition() -> None:
    run = went("nested")
    rows = [(row.node, row.status, bool(row.ns)) for row in run.nodes.all()]
    assert rows == [
        ("first", "ok", False), ("in1", "ok", True), ("in2", "ok", True), ("inner", "ok", False),
        *[("each", "ok", False)] * 3,
    ]  # fmt: skip
    first = run.nodes.first()
    assert first.elapsed_ms >= 0
    assert first.started_at <= first.at
    assert len(first.output_digest) == 64
    assert Checkpoint.objects.filter(checkpoint_id=first.checkpoint, run=run).exists()
    assert run.transitions == Checkpoint.objects.filter(run=run, ns="").count()


def test_a_run_that_fails_says_where_and_with_what() -> None:
    run = went("fails")
    assert (run.status, run.reason, run.node) == ("failed", "ValueError", "bad")
    assert run.error == {"kind": "ValueError", "text": "the order has no customer", "node": "bad"}
    assert [(row.node, row.status, row.error_kind) for row in run.nodes.all()] == [
        ("ok", "ok", ""), ("bad", "error", "ValueError"),
    ]  # fmt: skip


def too_deep(state: State) -> State:
    return too_deep(state)


@pytest.mark.parametrize(
    ("name", "node", "reason", "said"),
    [
        ("deep", too_deep, "RecursionError", "recursion"),
        ("unstorable", lambda state: {"answer": {"lock": threading.Lock()}}, "Unstorable", "answer.lock"),
        ("huge", lambda state: {"answer": "x" * 50_000_000}, "StateTooLarge", "16,777,216 are allowed"),
    ],
)  # fmt: skip
def test_a_node_that_poisons_its_run_ends_it_by_name_and_no_other(
    name: str, node: Any, reason: str, said: str
) -> None:
    @workflow(f"poison-{name}")
    def graph() -> StateGraph:
        made = StateGraph(State)
        made.add_node("bad", node)
        made.add_edge(START, "bad")
        return made

    run = went(f"poison-{name}")
    assert (run.status, run.reason) == ("failed", reason), run.error
    assert said in run.error["text"]
    assert went("linear").status == "succeeded"


def test_nothing_begins_before_the_caller_commits() -> None:
    with transaction.atomic():
        start("linear", {})
        transaction.set_rollback(True)
    assert not Run.objects.exists()


def test_a_key_begins_one_run() -> None:
    first = start("linear", {"amount": 1}, idempotency_key="order 7")
    assert start("linear", {"amount": 1}, idempotency_key="order 7").pk == first.pk
    assert Run.objects.count() == 1
    with pytest.raises(IdempotencyConflict, match="another input"):
        start("linear", {"amount": 2}, idempotency_key="order 7")
    assert start("fan_out", {"amount": 2}, idempotency_key="order 7").pk != first.pk


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "linaer"}, UnknownWorkflow),
        ({"version": "9"}, UnknownWorkflow),
        ({"input": {"amount": object()}}, Unstorable),
        ({"input": {"answer": "x" * 17_000_000}}, StateTooLarge),
        ({"thread": "x" * 201}, ValueError),
        ({"idempotency_key": ""}, ValueError),
        ({"idempotency_key": "a\0"}, ValueError),
        ({"if_busy": "wait"}, ValueError),
    ],
)
def test_what_cannot_begin_says_so(options: dict[str, Any], error: type[Exception]) -> None:
    given = {"name": "linear", "input": {}, **options}
    with pytest.raises(error) as told:
        start(given.pop("name"), given.pop("input"), **given)
    if options.get("name"):
        assert "Did you mean 'linear'?" in str(told.value)
    assert not Run.objects.exists()


def test_runs_of_a_thread_wait_for_each_other() -> None:
    first = start("review", {"amount": 1}, thread="t")
    second = start("linear", {}, thread="t")
    assert advance(str(second.pk)) is None
    assert advance(str(first.pk)) == "waiting"
    assert advance(str(second.pk)) is None
    with pytest.raises(RunBusy):
        start("linear", {}, thread="t", if_busy="reject")
    cancel(first)
    assert advance(str(second.pk)) == "succeeded"
    assert start("linear", {}, thread="t", if_busy="reject").status == "queued"


def test_the_state_of_a_run_is_its_own_wherever_its_thread_went_since() -> None:
    first = start("review", {"amount": 1}, thread="t")
    assert first.state == {}
    advance(str(first.pk))
    first.refresh_from_db()
    assert first.state == {"amount": 1, "steps": []}
    cancel(first)
    second = went("linear", {"amount": 2}, thread="t")
    assert second.state == {"amount": 2, "steps": [f"n{at}" for at in range(6)]}
    first.refresh_from_db()
    assert first.state == {"amount": 1, "steps": []}
    sql("DELETE FROM lockstep_workflows_checkpoint WHERE run_id = %s", first.pk)
    assert first.state == {}


def test_a_run_that_makes_way_is_cancelled_with_its_question() -> None:
    first = start("review", {"amount": 1}, thread="t")
    advance(str(first.pk))
    second = start("linear", {}, thread="t", if_busy="interrupt")
    first.refresh_from_db()
    assert (first.status, first.reason) == ("cancelled", "superseded")
    assert Wait.objects.get(run=first).status == "withdrawn"
    assert advance(str(second.pk)) == "succeeded"


def test_a_roll_back_undoes_what_the_other_run_did_to_the_state() -> None:
    went("linear", thread="t")
    other = start("fails", {}, thread="t")
    sql("UPDATE lockstep_workflows_run SET status = 'queued' WHERE id = %s", other.pk)
    advance(str(other.pk))
    sql(
        "UPDATE lockstep_workflows_run SET status = 'waiting' WHERE id = %s", other.pk
    )  # as if it stood there
    third = start("linear", {}, thread="t", if_busy="rollback")
    assert advance(str(third.pk)) == "succeeded"
    assert third.result["steps"] == [f"n{at}" for at in range(6)] * 2
    assert not Checkpoint.objects.filter(run=other).exists()


def test_a_cancelled_run_ends_at_its_next_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.flows import workflows

    run = start("linear", {})
    monkeypatch.setattr(workflows, "note", lambda text: cancel(run) if text.endswith("n2") else None)
    assert advance(str(run.pk)) == "cancelled"
    assert [row.node for row in run.nodes.all()] == ["n0", "n1", "n2"]
    assert cancel(run) == "cancelled"


def test_a_worker_that_shuts_down_leaves_the_run_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from lockstep.workflows import saver
    from tests.flows import workflows

    run = start("linear", {})
    fences: list[Any] = []
    real = saver.DjangoSaver.__init__

    def watched(self: Any, *, fence: Any = None, **options: Any) -> None:
        fences.append(fence)
        real(self, fence=fence, **options)

    monkeypatch.setattr(saver.DjangoSaver, "__init__", watched)
    monkeypatch.setattr(
        workflows, "note", lambda text: fences[-1].stop("shutdown") if text.endswith("n2") else None
    )
    assert advance(str(run.pk)) == "queued"
    monkeypatch.undo()
    assert advance(str(run.pk)) == "succeeded"
    assert run.result["steps"] == [f"n{at}" for at in range(6)]
    assert NodeExecution.objects.filter(run=run).count() == 6
    assert not draining.asked()


def test_an_earlier_owner_writes_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.flows import workflows

    run = start("linear", {})
    monkeypatch.setattr(
        workflows,
        "note",
        lambda text: (
            sql("UPDATE lockstep_workflows_run SET epoch = epoch + 1 WHERE id = %s", run.pk)
            if text.endswith("n2")
            else None
        ),
    )
    assert advance(str(run.pk)) is None
    run.refresh_from_db()
    assert (run.status, run.epoch, run.transitions) == ("running", 2, 4)
    assert [row.node for row in run.nodes.all()] == ["n0", "n1"]
    assert not Checkpoint.objects.filter(run=run, epoch=2).exists()


def test_a_run_whose_history_is_gone_is_not_begun_again() -> None:
    run = start("review", {"amount": 1})
    advance(str(run.pk))
    sql("DELETE FROM lockstep_workflows_checkpoint WHERE run_id = %s", run.pk)
    sql("UPDATE lockstep_workflows_run SET status = 'queued' WHERE id = %s", run.pk)
    assert advance(str(run.pk)) == "blocked"
    run.refresh_from_db()
    assert run.reason == "HistoryLost"


def test_a_deploy_that_renamed_the_next_node_blocks_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("review", {"amount": 1})
    advance(str(run.pk))
    built = registry.find("review", "1").graph()
    node = built.compiled.nodes.pop("decide")
    built.compiled.nodes["decided"] = node
    try:
        sql("UPDATE lockstep_workflows_run SET status = 'queued' WHERE id = %s", run.pk)
        assert advance(str(run.pk)) == "blocked"
    finally:
        built.compiled.nodes["decide"] = built.compiled.nodes.pop("decided")
    run.refresh_from_db()
    assert (run.reason, run.node) == ("TopologyMismatch", "decide")
    assert "no such node" in run.error["text"]


def test_a_version_that_this_deploy_has_not_blocks_the_run() -> None:
    run = start("linear", {})
    sql("UPDATE lockstep_workflows_run SET version = '0' WHERE id = %s", run.pk)
    assert advance(str(run.pk)) == "blocked"
    run.refresh_from_db()
    assert run.reason == "version_missing"


def test_new_runs_take_the_newest_version() -> None:
    build = registry.find("linear", "1").build
    for version in ("9", "10"):
        workflow("versioned", version=version)(build)
    try:
        assert start("versioned", {}).version == "10"
        assert start("versioned", {}, version="9").version == "9"
        with pytest.raises(TypeError, match="already"):
            workflow("versioned", version="9")(registry.find("fan_out", "1").build)
    finally:
        del registry._workflows["versioned"]
    with pytest.raises(ValueError, match="letters"):
        workflow("with spaces")


def test_nodes_know_for_whom_they_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.flows import workflows

    seen: list[Any] = []
    monkeypatch.setattr(workflows, "note", lambda text: seen.append(context.current()))
    ada = get_user_model().objects.create(username="ada")
    run = went("fan_out", user=ada, tenant="north", cohort="beta")
    assert {(one.user, one.tenant, one.cohort, one.run) for one in seen} == {
        (ada, "north", "beta", str(run.pk))
    }
    assert {one.node for one in seen} == {"split", "a", "b", "c", "join"}
    assert [*Run.objects.of(ada)] == [run]


def test_a_sleeper_is_woken_when_its_time_has_come() -> None:
    run = went("sleeper", {"amount": 3600})
    assert (run.status, due()) == ("waiting", [])
    sql("UPDATE lockstep_workflows_wait SET due_at = now() - interval '1 second'")
    sql(
        "UPDATE lockstep_workflows_run SET wake_at = now() - interval '1 second', at = at - interval '1 minute'"
    )
    assert due() == [(str(run.pk), "sleeper")]
    assert advance(str(run.pk)) == "succeeded"
    assert run.result["steps"] == ["rested"]


def test_a_doorbell_that_was_lost_is_rung_again_but_not_all_the_time() -> None:
    run = start("linear", {})
    assert due() == []
    sql("UPDATE lockstep_workflows_run SET at = now() - interval '3 seconds'")
    assert due() == [(str(run.pk), "linear")]
    assert due() == []
    sql("UPDATE lockstep_workflows_run SET rung_at = now() - interval '11 seconds'")
    assert due() == [(str(run.pk), "linear")]


def test_a_run_ends_before_its_content_expires() -> None:
    run = went("review", {"amount": 1})
    assert run.expires_at - run.at == timedelta(days=30)
    sql("UPDATE lockstep_workflows_run SET expires_at = now() + interval '30 seconds' WHERE id = %s", run.pk)
    due()
    run.refresh_from_db()
    assert (run.status, run.reason) == ("failed", "expired")
    assert advance(str(run.pk)) is None


def test_a_run_that_nobody_owns_any_more_is_taken_over_and_given_up_in_the_end() -> None:
    run = start("review", {"amount": 1})
    advance(str(run.pk))
    for crashes in range(1, 7):
        sql(
            "UPDATE lockstep_workflows_run SET status = 'running', lease_until = now() - interval '1 second',"
            " owner = 'gone', crash_count = %s WHERE id = %s",
            crashes - 1, run.pk,
        )  # fmt: skip
        assert due() == [(str(run.pk), "review")]
        assert advance(str(run.pk)) == ("waiting" if crashes <= 5 else "dead")
    run.refresh_from_db()
    assert (run.status, run.reason, run.node) == ("dead", "crashed", "decide")
    assert (
        run.nodes.filter(status="died", worker="gone").count() == 0
    )  # it had stopped to wait: no node was at work


def test_signs_of_life_that_fail_lose_a_run_in_time_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise EngineError

    owner = here()
    held = owner.acquire(str(start("linear", {}).pk))
    assert held is not None
    with owner.holding(held):
        monkeypatch.setattr(owner, "_connected", away)
        owner.beat()
        assert not held.fence.lost
        held.fence.renewed_at -= held.fence.lease_s / 2
        owner.beat()
        assert held.fence.lost


def test_a_run_with_a_healthy_owner_is_left_alone() -> None:
    run = start("linear", {})
    sql(
        "UPDATE lockstep_workflows_run SET status = 'running', epoch = 1, lease_until = now() + interval '10 seconds'"
    )
    assert due() == []
    assert advance(str(run.pk)) is None


def test_a_worker_without_celery_takes_what_is_due() -> None:
    first, second = start("linear", {}, thread="t"), start("fan_out", {}, thread="t")
    out = io.StringIO()
    call_command("lockstep_work", stdout=out)
    assert out.getvalue().splitlines() == [f"linear {first.pk}: succeeded", f"fan_out {second.pk}: succeeded"]


def test_runs_that_a_deploy_would_break_are_named_before_it() -> None:
    out = io.StringIO()
    went("review", {"amount": 1})
    call_command("lockstep_check_upgrade", stdout=out)
    assert "All 1 live runs can go on." in out.getvalue()
    old, gone = went("review", {"amount": 2}), went("review", {"amount": 3})
    sql("UPDATE lockstep_workflows_run SET version = '0' WHERE id = %s", old.pk)
    sql("DELETE FROM lockstep_workflows_checkpoint WHERE run_id = %s", gone.pk)
    with pytest.raises(SystemExit) as ended:
        call_command("lockstep_check_upgrade", stdout=out)
    assert ended.value.code == 1
    assert f"{old.pk} review 0 (waiting): Workflow 'review' has no version '0' here" in out.getvalue()
    assert f"{gone.pk} review 1 (waiting): Its latest checkpoint is gone." in out.getvalue()
    assert "2 of 3 live runs would be blocked." in out.getvalue()


def test_a_graph_that_changed_without_a_new_version_is_named_before_the_deploy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "_told", set())
    went("linear"), went("linear")
    seen = GraphVersion.objects.get(workflow="linear")
    out = io.StringIO()
    call_command("lockstep_check_upgrade", stdout=out)
    assert "not as it was run" not in out.getvalue()
    nodes = seen.topology["nodes"]
    seen.topology["nodes"] = {**nodes, "n9": [], "n1": ["branch:to:other"]}
    del seen.topology["nodes"]["n2"]
    seen.digest = "another"
    seen.save()
    call_command("lockstep_check_upgrade", stdout=out)
    for change in ("n9 is gone", "n2 is new", "n1 has changed"):
        assert f"linear 1 is not as it was run before: nodes: {change}." in out.getvalue()


def test_a_run_that_was_given_up_is_told_to_people_once_and_taken_back() -> None:
    run = start("review", {"amount": 1})
    advance(str(run.pk))
    sql(
        "UPDATE lockstep_workflows_run SET status = 'running', lease_until = now() - interval '1 second',"
        " crash_count = 6 WHERE id = %s",
        run.pk,
    )
    advance(str(run.pk))
    dead = Notice.objects.filter(topic="workflows.dead")
    assert [*dead.values_list("resolves", flat=True)] == [False]
    assert "review" in dead.get().subject
    retry(run)
    assert [*dead.order_by("pk").values_list("resolves", flat=True)] == [False, True]
    assert advance(str(run.pk)) == "waiting"
    assert Wait.objects.get(run=run).status == "open"
    with pytest.raises(NotRetryable, match="waiting"):
        retry(run)


def test_ten_thousand_runs_that_wait_cost_a_sweep_no_look_at_the_table() -> None:
    sql(
        "INSERT INTO lockstep_workflows_run (id, workflow, version, thread, status, reason, node, user_id, user_key,"
        " feature, cohort, tenant, input_digest, epoch, owner, cancel_requested, crash_count, transitions, head,"
        " rolls_back, at, expires_at, wake_at) SELECT gen_random_uuid(), 'review', '1', n::text, 'waiting', '', '', '',"
        " '', '', '', '', '', 1, '', false, 0, 1, '', '[]', now() - interval '1 hour', now() + interval '20 days',"
        " now() + n * interval '1 minute' FROM generate_series(1, 10000) AS n"
    )
    sql("ANALYZE lockstep_workflows_run")
    seen = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'lockstep_workflows_run'"
    with connection.cursor() as cursor:
        cursor.execute(seen)
        before = cursor.fetchone()
        assert due() == []
        cursor.execute(seen)
        assert cursor.fetchone() == before
