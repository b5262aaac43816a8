"""What a graph, a person or a database does once in a thousand runs."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from django.db import connection, transaction
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send

from lockstep.testing.workflows import Crashed, go_on, run_inline
from lockstep.workflows import cancel, receive, registry, retry, start, tool, wait_for_event, workflow
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import Fenced, NotRetryable
from lockstep.workflows.models import Checkpoint, CheckpointWrite, Run, Wait
from lockstep.workflows.ownership import here
from lockstep.workflows.saver import DjangoSaver
from lockstep.workflows.sweeping import due
from lockstep.workflows.upgrade import broken_runs


class State(TypedDict, total=False):
    a: Any
    b: Any
    c: Any


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Workflows of a test are gone after it."""
    registry.load()
    before = {name: dict(versions) for name, versions in registry._workflows.items()}
    yield
    registry._workflows.clear()
    registry._workflows.update(before)


def line(schema: Any = State, **nodes: Callable[[Any], Any]) -> StateGraph[Any]:
    graph: StateGraph[Any] = StateGraph(schema)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph


def declared(build: Callable[[], Any]) -> None:
    registry._workflows.pop("hard", None)
    workflow("hard")(build)


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def orphaned(run: Run) -> None:
    sql("UPDATE lockstep_workflows_run SET lease_until = now() - interval '1 minute' WHERE id = %s", run.pk)


# doorbells and owners


@pytest.mark.django_db
def test_an_old_run_is_rung_for_as_often_as_a_young_one() -> None:
    run = start("linear", {})
    sql(
        "UPDATE lockstep_workflows_run SET at = now() - interval '30 days', rung_at = now() WHERE id = %s",
        run.pk,
    )
    assert due() == []
    sql("UPDATE lockstep_workflows_run SET rung_at = now() - interval '70 seconds' WHERE id = %s", run.pk)
    assert due() == [(str(run.pk), "linear")]


@pytest.mark.django_db
def test_an_epoch_is_on_the_disk_before_anybody_works_with_it() -> None:
    """A commit that does not wait may be lost in a crash of the server, and its number be given out again."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        before = cursor.fetchone()
        assert here().acquire(str(start("linear", {}).pk)) is not None
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == before


@pytest.mark.django_db(transaction=True)
def test_a_caller_who_takes_his_time_holds_no_worker_up() -> None:
    run = start("linear", {}, thread="t")
    took: list[tuple[bool, float]] = []

    def acquire() -> None:
        with psycopg.connect(**parameters(), autocommit=True) as link:
            began = time.monotonic()
            found = link.execute(
                "SELECT lockstep_workflows_acquire_v1(%s, %s::jsonb)",
                (run.pk, json.dumps({"owner": "w", "lease_s": 12, "most_crashes": 5})),
            ).fetchone()
            took.append((found != (None,), time.monotonic() - began))

    with transaction.atomic():
        start("linear", {}, thread="t")
        worker = threading.Thread(target=acquire)
        worker.start()
        worker.join(10)
        assert cancel(run) == "cancelled"
    assert len(took) == 1
    assert not took[0][0]


@pytest.mark.django_db
def test_a_holder_that_ends_takes_no_later_ones_heartbeat() -> None:
    owner = here()
    run = start("linear", {})
    first = owner.acquire(str(run.pk))
    assert first is not None
    with owner.holding(first):
        orphaned(run)
        second = owner.acquire(str(run.pk))
        assert second is not None
        later = owner.holding(second)
        later.__enter__()
    try:
        assert owner._held[second.id] is second.fence
    finally:
        later.__exit__(None, None, None)
    assert second.id not in owner._held


@pytest.mark.django_db
def test_an_earlier_owner_of_the_same_thread_is_refused_by_name() -> None:
    run = start("linear", {})
    first = here().acquire(str(run.pk))
    orphaned(run)
    second = here().acquire(str(run.pk))
    assert first is not None
    assert second is not None
    place: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    with pytest.raises(Fenced):
        DjangoSaver(fence=first.fence).put(place, empty_checkpoint(), {"source": "input", "step": -1}, {})
    DjangoSaver(fence=second.fence).put(place, empty_checkpoint(), {"source": "input", "step": -1}, {})
    assert [row.epoch for row in Checkpoint.objects.filter(run=run)] == [2]


@pytest.mark.django_db
def test_a_run_that_another_has_overtaken_is_not_tried_again() -> None:
    first = start("review", {"amount": 1}, thread="t")
    advance(str(first.pk))
    cancel(first)
    second = start("linear", {}, thread="t")
    advance(str(second.pk))
    with pytest.raises(NotRetryable, match="overtaken"):
        retry(first)
    third = start("linear", {}, thread="t")
    assert advance(str(third.pk)) == "succeeded"


@pytest.mark.django_db
def test_a_run_whose_thread_another_used_meanwhile_goes_on_from_there() -> None:
    declared(lambda: line(a=lambda state: {"a": [*state.get("a", []), state["b"]]}))
    first = start("hard", {"b": "one"})
    cancel(first)
    second = start("hard", {"b": "two"}, thread=str(first.pk))
    assert advance(str(second.pk)) == "succeeded"
    retry(first)
    assert advance(str(first.pk)) == "succeeded"
    first.refresh_from_db()
    assert first.result["a"] == ["two", "one"]


# graphs within graphs


def asks(**nodes: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: line(
        before=lambda state: {"a": 1}, sub=line(**nodes).compile(), after=lambda state: {"c": 1}
    )


def ask(state: Any) -> Any:
    return {"b": wait_for_event("paid", key="7")}


@pytest.mark.django_db
def test_a_node_that_was_renamed_within_a_subgraph_blocks_the_run() -> None:
    declared(asks(ask=ask))
    run = run_inline("hard", {})
    assert run.status == "waiting"
    declared(asks(asked=ask))
    assert [(found.run, "ask" in found.reason) for found in broken_runs()] == [(run, True)]
    receive("paid", key="7", body={})
    run = go_on(run)
    assert (run.status, run.reason) == ("blocked", "TopologyMismatch")
    declared(asks(ask=ask))
    retry(run)
    assert go_on(run).status == "succeeded"


@pytest.mark.django_db
def test_an_answer_that_came_while_a_subgraph_stopped_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its question is one commit, and that of the graph around it the next."""
    declared(asks(ask=ask))
    receive("paid", key="7", body={"pence": 1})
    real, died = DjangoSaver.put_writes, []

    def dying(self: Any, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        within = config["configurable"].get("checkpoint_ns")
        if not died and not within and any(name == "__interrupt__" for name, _ in writes):
            died.append(True)
            raise Crashed("between two commits")
        real(self, config, writes, task_id, task_path)

    monkeypatch.setattr(DjangoSaver, "put_writes", dying)
    run = start("hard", {})
    with pytest.raises(Crashed):
        advance(str(run.pk))
    assert [*Wait.objects.filter(run=run).values_list("status", "taken_at")] == [("answered", None)]
    orphaned(run)
    run = go_on(run)
    assert (run.status, run.result["b"]) == ("succeeded", {"pence": 1})


@pytest.mark.django_db
def test_a_subgraph_whose_history_is_gone_is_not_begun_again() -> None:
    declared(asks(first=lambda state: {"a": 2}, ask=ask))
    run = run_inline("hard", {})
    sql("DELETE FROM lockstep_workflows_checkpoint WHERE run_id = %s AND ns <> ''", run.pk)
    receive("paid", key="7", body={})
    run = go_on(run)
    assert (run.status, run.reason) == ("blocked", "HistoryLost")


@pytest.mark.django_db
@pytest.mark.parametrize("goto", ["gone", Send("gone", {})])
@pytest.mark.parametrize("within", [False, True])
def test_a_step_that_leads_nowhere_is_no_end(goto: Any, within: bool) -> None:
    graph = line(a=lambda state: Command(goto=goto))
    declared(lambda: line(sub=graph.compile()) if within else graph)
    run = run_inline("hard", {})
    assert (run.status, run.reason, run.node) == ("blocked", "TopologyMismatch", "gone")


# stops that nobody can answer


@pytest.mark.django_db
def test_a_stop_without_a_question_is_told_to_people() -> None:
    declared(lambda: line(a=lambda state: {"a": 1}, b=lambda state: {"b": 1}).compile(interrupt_before=["b"]))
    run = run_inline("hard", {})
    assert (run.status, run.reason, run.node) == ("blocked", "nothing_asked", "b")


@pytest.mark.django_db
def test_a_stop_in_a_graph_that_a_node_builds_is_no_success() -> None:
    def build() -> Any:
        return line(a=lambda state: {"a": 1}, b=lambda state: {"b": 1}).compile(interrupt_before=["b"])

    declared(lambda: line(call=lambda state: build().invoke({})))
    run = run_inline("hard", {})
    assert (run.status, run.reason) == ("blocked", "nothing_asked")


# what the database does not take


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["half of \ud83d", "NUL \0"])
def test_an_error_whose_text_no_database_takes_ends_the_run_once(text: str) -> None:
    ran = []

    def fail(state: Any) -> Any:
        ran.append(1)
        raise LookupError(text)

    declared(lambda: line(fail=fail))
    run = run_inline("hard", {})
    assert (run.status, run.error["kind"], len(ran)) == ("failed", "LookupError", 1)


@pytest.mark.django_db
def test_a_name_that_is_too_long_is_cut() -> None:
    declared(lambda: line(**{"n" * 300: lambda state: {"a": 1}}))
    run = run_inline("hard", {})
    assert run.status == "succeeded"
    assert [node.node for node in run.nodes.all()] == ["n" * 200]


@pytest.mark.django_db
def test_what_the_database_refuses_is_no_outage() -> None:
    def write(state: Any) -> Any:
        saver.fence.run = "no uuid"  # whatever it is that a row cannot hold
        return {"a": 1}

    saver: Any = None
    real = DjangoSaver.__init__

    def made(self: Any, **options: Any) -> None:
        nonlocal saver
        real(self, **options)
        saver = self if self.fence else saver

    declared(lambda: line(write=write))
    run = start("hard", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DjangoSaver, "__init__", made)
        assert advance(str(run.pk)) == "failed"
    run.refresh_from_db()
    assert run.reason == "RowRefused"


@pytest.mark.django_db
def test_what_a_node_was_given_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    @tool(effect="keyed")
    def charge(card: str) -> str:
        raise ValueError(f"card {card} was declined")

    declared(lambda: line(pay=lambda state: {"a": charge("4111-1111")}))
    with caplog.at_level(logging.DEBUG):
        run = run_inline("hard", {})
    assert run.status == "failed"
    assert "ToolFailed" in caplog.text
    assert "4111-1111" not in caplog.text


# graphs that LangGraph takes


@pytest.mark.django_db
def test_a_way_that_only_an_event_loop_can_choose_makes_the_run_one() -> None:
    async def route(state: State) -> str:
        return "b"

    def build() -> Any:
        graph = line(a=lambda state: {"a": 1})
        graph.add_node("b", lambda state: {"b": 1})
        graph.add_conditional_edges("a", route, ["b"])
        return graph

    declared(build)
    run = run_inline("hard", {})
    assert (run.status, run.result) == ("succeeded", {"a": 1, "b": 1})


@pytest.mark.django_db
def test_a_context_that_no_run_has_is_refused_when_it_begins() -> None:
    declared(
        lambda: StateGraph(State, context_schema=State).add_node("a", lambda state: {}).add_edge(START, "a")
    )
    with pytest.raises(TypeError, match="context_schema"):
        start("hard", {})


# size and shape


@pytest.mark.django_db
def test_the_bound_of_a_state_holds_for_all_of_it(settings: Any) -> None:
    settings.LOCKSTEP = {**settings.LOCKSTEP, "workflows": {"max_state_bytes": 10_000}}
    declared(
        lambda: line(
            x=lambda s: {"a": "x" * 4000}, y=lambda s: {"b": "y" * 4000}, z=lambda s: {"c": "z" * 4000}
        )
    )
    run = run_inline("hard", {})
    assert (run.status, run.reason) == ("failed", "StateTooLarge")
    declared(lambda: line(x=lambda s: {"a": "ä" * 6000}))
    run = run_inline("hard", {})
    assert (run.status, run.reason) == ("failed", "StateTooLarge")
    assert sum(len(json.dumps(row.writes)) for row in CheckpointWrite.objects.filter(run=run)) < 5_000


@pytest.mark.django_db
def test_the_state_of_a_run_is_what_its_graph_makes_of_it() -> None:
    class Many(TypedDict, total=False):
        said: Annotated[
            list[str], DeltaChannel(lambda known, more: [*(known or []), *(x for one in more for x in one)])
        ]

    declared(lambda: line(Many, x=lambda s: {"said": ["x"]}, y=lambda s: {"said": ["y"]}))
    run = run_inline("hard", {"said": ["in"]})
    assert run.state == {"said": ["in", "x", "y"]}
    registry._workflows.pop("hard")
    assert isinstance(run.state, dict)


@pytest.mark.django_db
def test_a_commit_that_is_repeated_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from lockstep.workflows import saver as module

    real = module.apart.query

    def twice(statement: str, params: Any) -> Any:
        if statement is module.COMMIT:
            real(statement, params)
        return real(statement, params)

    monkeypatch.setattr(module.apart, "query", twice)
    run = run_inline("linear", {})
    assert (run.status, run.transitions) == ("succeeded", 8)
    assert run.result["steps"] == [f"n{at}" for at in range(6)]


def parameters() -> dict[str, Any]:
    found = connection.get_connection_params()
    return {name: value for name, value in found.items() if name not in ("cursor_factory", "context")}
