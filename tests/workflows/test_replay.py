"""Runs that are gone through once more, from what is written of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone
from langgraph.graph import START, StateGraph

from lockstep.core.ids import new_id
from lockstep.testing.workflows import crash_at, go_on, pass_time, run_inline
from lockstep.workflows import Backoff, answer, registry, replay, request_review, tool, workflow
from lockstep.workflows.exceptions import NotReplayable, UnknownWorkflow
from lockstep.workflows.models import Run, ToolAttempt
from lockstep.workflows.replays.report import Report

pytestmark = pytest.mark.django_db


changing: set[str] = set()
"""What the graphs do otherwise just now."""
effects: list[str] = []


class State(TypedDict, total=False):
    steps: Annotated[list[str], lambda before, more: before + (more[::-1] if "reducer" in changing else more)]
    amount: int


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Graphs that change between a run and its replay."""
    changing.clear()
    effects.clear()
    before = {name: dict(versions) for name, versions in registry._known().items()}
    workflow("replayed")(replayed)
    workflow("buys")(buys)
    yield
    registry._workflows.clear()
    registry._workflows.update(before)


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_superuser("boss", "boss@example.com", "secret")


def replayed() -> StateGraph:
    def first(state: State) -> State:
        return {"steps": ["first", "one"]}

    def second(state: State) -> State:
        if "stops" in changing:
            request_review("anything", {})
        if "fails" in changing:
            raise ValueError("no")
        return {"steps": ["changed" if "second" in changing else "second"]}

    def third(state: State) -> State:
        return {"steps": [f"third after {state['steps'][-1]}"]}

    graph = StateGraph(State)
    graph.add_sequence([first, second, third])
    graph.add_edge(START, "first")
    return graph


@tool(name="buys.pay", effect="keyed", max_attempts=2, backoff=Backoff(base_s=60, most_s=60))
def pay(amount: int) -> str:
    if "busy" in changing:
        raise ConnectionRefusedError
    effects.append(f"paid {amount}")
    if amount < 0:
        raise ValueError("less than nothing")
    return f"receipt {amount}"


@tool(name="buys.look", effect="pure")
def look(amount: int) -> str:
    effects.append(f"looked {amount}")
    return f"{amount} is fair"


def buys() -> StateGraph:
    def buy(state: State) -> State:
        amount = state["amount"] + ("dearer" in changing)
        try:
            receipt = pay(amount)
        except Exception:
            if "swallows" not in changing:
                raise
            receipt = "none"
        return {"steps": [receipt, look(state["amount"])]}

    graph = StateGraph(State)
    graph.add_node("buy", buy)
    graph.add_edge(START, "buy")
    return graph


def everything() -> dict[str, Any]:
    """All rows of all tables of runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'lockstep_workflows_%' AND relkind IN ('r', 'p')")
        names = [name for (name,) in cursor.fetchall()]
        found = {}
        for name in names:
            cursor.execute(f"SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text), '[]')::text FROM {name} t")
            found[name] = cursor.fetchone()[0]
    return found


def nodes(report: Report) -> list[str]:
    return [one.node for one in report.checked if one.kind == "node"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", ["n0", "n1", "n2", "n3", "n4", "n5"]),
        ("fan_out", ["split", "a", "b", "c", "join"]),
        ("nested", ["first", "in1", "in2", "inner", "each", "each", "each"]),
        ("asynchronous", ["think", "say"]),
    ],
)
def test_every_node_of_a_run_writes_the_same_once_more(name: str, expected: list[str]) -> None:
    run = run_inline(name, {})
    report = replay(run)
    assert report.same, report.verdict
    assert nodes(report) == expected
    assert {one.kind for one in report.checked} >= {"node", "state"}


def test_people_and_events_say_again_what_they_said(user: Any) -> None:
    run = run_inline("three", {"amount": 7})
    for wait in run.waits.all():
        answer(wait, "approve", by=user)
    report = replay(go_on(run))
    assert report.same, report.verdict
    assert sorted(nodes(report)[:3]) == ["a", "b", "c"]
    assert nodes(report)[3:] == ["join"]


def test_a_node_that_asks_twice_is_answered_twice(user: Any) -> None:
    run = run_inline("twice", {})
    for _ in range(2):
        answer(run.waits.get(status="open"), "approve", by=user)
        run = go_on(run)
    assert run.status == "succeeded"
    assert replay(run).same


def test_a_run_that_waits_is_replayed_up_to_its_stop() -> None:
    report = replay(run_inline("review", {"amount": 3}))
    assert [(one.node, one.then, one.now, one.same) for one in report.checked if one.kind == "node"] == [
        ("decide", "waiting", "waiting", True)
    ]
    assert report.same
    assert report.status == "waiting"


def test_a_run_that_failed_fails_again_with_the_same() -> None:
    report = replay(run_inline("fails", {}))
    assert report.same, report.verdict
    assert [(one.node, one.then, one.now) for one in report.checked if one.kind == "node"][1:] == [
        ("bad", "ValueError", "ValueError")
    ]


def test_of_a_node_that_was_run_twice_the_last_time_counts() -> None:
    with crash_at("n3", "after"):
        run = run_inline("linear", {})
    run = go_on(run)
    assert run.nodes.filter(node="n3", status="died").exists()
    report = replay(run)
    assert report.same, report.verdict
    assert len(nodes(report)) == 6


def test_a_run_whose_worker_died_is_replayed_as_far_as_it_came() -> None:
    with crash_at("n3"):
        run = run_inline("linear", {})
    report = replay(run)
    assert report.same
    assert nodes(report) == ["n0", "n1", "n2"]


def test_nothing_is_written_of_a_replay() -> None:
    run = run_inline("nested", {})
    before = everything()
    replay(run)
    assert everything() == before


def test_the_first_node_that_differs_is_named() -> None:
    changing.add("second")
    try:
        run = run_inline("replayed", {})
    finally:
        changing.clear()
    report = replay(run)
    assert not report.same
    assert (report.first.node, report.first.step, report.first.kind) == ("second", 2, "node")
    assert report.first.why == "what it writes differs, in steps"
    assert report.verdict == "The first difference is node 'second', step 2: what it writes differs, in steps."
    assert [one.node for one in report.checked if not one.same] == ["second"]  # the third has its own state


def test_a_state_that_comes_out_otherwise_is_named() -> None:
    run = run_inline("replayed", {})
    changing.add("reducer")
    try:
        report = replay(run)
    finally:
        changing.clear()
    assert report.first.kind == "state"
    assert report.first.why == "it differs in steps"


def test_a_node_that_waits_where_it_did_not_is_named() -> None:
    run = run_inline("replayed", {})
    for change, why in (("stops", "it stops to wait"), ("fails", "it fails with ValueError")):
        changing.add(change)
        try:
            report = replay(run)
        finally:
            changing.clear()
        assert (report.first.node, report.first.why) == ("second", why)


def test_what_has_expired_cannot_be_replayed() -> None:
    run = run_inline("linear", {})
    Run.objects.filter(pk=run.pk).update(expires_at=timezone.now())
    with pytest.raises(NotReplayable, match="has expired"):
        replay(str(run.pk))
    with pytest.raises(Run.DoesNotExist):
        replay(new_id())
    with pytest.raises(ValueError, match="mode is"):
        replay(run, mode="fork")  # type: ignore[arg-type]


def test_a_version_that_is_not_here_is_named() -> None:
    run = run_inline("linear", {})
    Run.objects.filter(pk=run.pk).update(version="0")
    with pytest.raises(UnknownWorkflow, match="no version '0' here"):
        replay(str(run.pk))


# tools


def test_tools_are_answered_from_the_ledger_and_no_effect_begins() -> None:
    run = run_inline("buys", {"amount": 3})
    assert run.status == "succeeded"
    assert effects == ["paid 3", "looked 3"]
    attempts = ToolAttempt.objects.count()
    report = replay(run)
    assert report.same, report.verdict
    assert effects == ["paid 3", "looked 3"]
    assert ToolAttempt.objects.count() == attempts


def test_a_tool_that_failed_fails_again() -> None:
    run = run_inline("buys", {"amount": -1})
    assert (run.status, run.reason) == ("failed", "ToolFailed")
    report = replay(run)
    assert report.same, report.verdict
    assert effects == ["paid -1"]


@pytest.mark.parametrize("mode", ["recorded", "live-model"])
def test_a_tool_that_the_log_has_not_is_named_and_not_called(mode: Any) -> None:
    run = run_inline("buys", {"amount": 3})
    effects.clear()
    changing.add("dearer")
    report = replay(run, mode)
    assert effects == []
    assert report.first.node == "buy"
    assert report.first.why == "it calls the tool 'buys.pay', and the log has no such call"


def test_a_node_cannot_swallow_that_an_effect_is_forbidden() -> None:
    run = run_inline("buys", {"amount": 3})
    effects.clear()
    changing.update(["dearer", "swallows"])
    report = replay(run)
    assert effects == []
    assert not report.same


def test_a_tool_that_waited_for_its_next_try_is_replayed_with_its_stops() -> None:
    changing.add("busy")
    run = run_inline("buys", {"amount": 3})
    assert run.status == "waiting"
    assert replay(run).same
    changing.clear()
    run = go_on(pass_time(run, timedelta(hours=1)))
    assert run.status == "succeeded"
    report = replay(run)
    assert report.same, report.verdict
