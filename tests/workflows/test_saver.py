"""The checkpointer as LangGraph sees it, and what it does to the tables."""

from __future__ import annotations

import asyncio
import json
import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from django.db import connection
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph

from lockstep.workflows import DjangoSaver
from lockstep.workflows.exceptions import StateTooLarge, Unstorable
from lockstep.workflows.models import Checkpoint, CheckpointWrite

pytestmark = pytest.mark.django_db


class State(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    extra: Any


class Long(TypedDict, total=False):
    lines: Annotated[list[str], DeltaChannel(lambda old, new: [*old, *(line for one in new for line in one)])]


def graph(*nodes: Any, saver: DjangoSaver | None = None) -> Any:
    built = StateGraph(State)
    before = START
    for at, node in enumerate(nodes):
        built.add_node(f"n{at}", node)
        built.add_edge(before, f"n{at}")
        before = f"n{at}"
    return built.compile(checkpointer=saver or DjangoSaver())


def thread(name: str = "t") -> Any:
    return {"configurable": {"thread_id": name}}


@pytest.mark.parametrize("commits", ["task by task", "in one"])
@pytest.mark.django_db(transaction=True)
def test_the_conformance_suite_in_full(commits: str, request: pytest.FixtureRequest) -> None:
    if commits == "in one":
        request.getfixturevalue("in_one_commit")
    pytest.importorskip("langgraph.checkpoint.conformance")
    from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer
    from langgraph.checkpoint.conformance.validate import validate

    async def factory() -> Any:
        yield DjangoSaver()

    report = asyncio.run(validate(RegisteredCheckpointer("django", factory)))
    failures = [failure for result in report.results.values() for failure in result.failures or []]
    assert failures == []
    assert sum(result.tests_passed for result in report.results.values()) == 81


def test_a_state_is_readable_json_in_the_table() -> None:
    graph(lambda state: {"steps": ["a"], "extra": {"order": 7}}).invoke({"steps": []}, thread())
    state = Checkpoint.objects.order_by("-checkpoint_id").first().state
    assert state["steps"] == ["a"]
    assert state["extra"] == {"order": 7}


def test_a_value_that_cannot_be_stored_is_named_by_its_path() -> None:
    with pytest.raises(Unstorable) as error:
        graph(lambda state: {"extra": {"lock": [threading.Lock()]}}).invoke({"steps": []}, thread())
    assert "lock[0]" in str(error.value)
    assert "thread.lock" in str(error.value)


def test_a_state_over_the_limit_is_refused_by_name(settings: Any) -> None:
    settings.LOCKSTEP = {**settings.LOCKSTEP, "workflows": {"max_state_bytes": 10_000}}
    with pytest.raises(StateTooLarge) as error:
        graph(lambda state: {"extra": "x" * 20_000}).invoke({"steps": []}, thread())
    assert "'extra'" in str(error.value) or '"extra"' in str(error.value)
    assert "10,000" in str(error.value)


def test_a_thread_goes_on_from_its_state_and_can_be_forked() -> None:
    app = graph(lambda state: {"steps": ["a"]}, lambda state: {"steps": ["b"]})
    app.invoke({"steps": []}, thread())
    assert app.invoke({"steps": []}, thread())["steps"] == ["a", "b", "a", "b"]
    history = [*app.get_state_history(thread())]
    early = next(state for state in history if state.values["steps"] == ["a"])
    assert app.invoke(None, early.config)["steps"] == ["a", "b"]
    results = [task.result for state in history for task in state.tasks if task.name == "n1"]
    assert results == [{"steps": ["b"]}, {"steps": ["b"]}]


def test_a_task_that_finished_is_not_run_again_when_its_sibling_failed() -> None:
    ran: list[str] = []
    built = StateGraph(State)
    broken = [True]

    def good(state: State) -> State:
        ran.append("good")
        return {"steps": ["good"]}

    def bad(state: State) -> State:
        ran.append("bad")
        if broken:
            raise ValueError("not now")
        return {"steps": ["bad"]}

    for name, node in (("good", good), ("bad", bad)):
        built.add_node(name, node)
        built.add_edge(START, name)
    app = built.compile(checkpointer=DjangoSaver())
    with pytest.raises(ValueError, match="not now"):
        app.invoke({"steps": []}, thread())
    errors = [
        write["-1"][1] for write in CheckpointWrite.objects.values_list("writes", flat=True) if "-1" in write
    ]
    assert errors == ["ValueError('not now')"]
    broken.clear()
    assert app.invoke(None, thread())["steps"] == ["bad", "good"]
    assert ran.count("good") == 1


def test_the_order_of_a_dict_survives_the_database() -> None:
    extra = {"zebra": 1, "a": 2, "long name": 3, "b": {"z": 1, "y": 2}}
    app = graph(lambda state: {"extra": extra})
    app.invoke({"steps": []}, thread())
    assert json.dumps(app.get_state(thread()).values["extra"]) == json.dumps(extra)


def test_an_event_loop_is_not_held_up_and_the_same_is_kept() -> None:
    async def node(state: State) -> State:
        return {"steps": ["a"]}

    async def work() -> Any:
        app = graph(node)
        await app.ainvoke({"steps": []}, thread("async"))
        return [state.values async for state in app.aget_state_history(thread("async"))]

    assert asyncio.run(work())[0] == {"steps": ["a"]}


def test_pruning_keeps_what_the_latest_state_is_rebuilt_from() -> None:
    saver = DjangoSaver()
    app = graph(*[lambda state: {"steps": ["a"]}] * 5, saver=saver)
    app.invoke({"steps": []}, thread())
    assert Checkpoint.objects.count() == 7
    saver.prune(["t"])
    assert Checkpoint.objects.count() == 1
    assert app.get_state(thread()).values == {"steps": ["a"] * 5}
    saver.prune(["t"], strategy="delete")
    assert app.get_state(thread()).values == {}
    with pytest.raises(ValueError, match="keep_latest"):
        saver.prune(["t"], strategy="sometimes")


def test_a_delta_channel_is_rebuilt_after_pruning() -> None:
    built = StateGraph(Long)
    built.add_node("add", lambda state: {"lines": [f"line {len(state.get('lines', []))}"]})
    built.add_edge(START, "add")
    saver = DjangoSaver()
    app = built.compile(checkpointer=saver)
    for _ in range(4):
        app.invoke({}, thread())
    before = app.get_state(thread()).values
    assert len(before["lines"]) == 4
    saver.prune(["t"])
    assert app.get_state(thread()).values == before


def test_a_thread_with_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        graph(lambda state: {}).invoke({"steps": []}, thread("a\0b"))


def test_content_that_has_expired_is_not_read() -> None:
    app = graph(lambda state: {"steps": ["a"]})
    app.invoke({"steps": []}, thread())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_core_partition_v1('lockstep_workflows_checkpoint', clock_timestamp() + '50 ms')"
        )
        cursor.execute(
            "UPDATE lockstep_workflows_checkpoint SET expires_at = clock_timestamp() + interval '50 ms'"
        )
        cursor.execute("SELECT pg_sleep(0.1)")
    assert app.get_state(thread()).values == {}
    assert not Checkpoint.objects.exists()


def test_writes_that_overtake_their_checkpoint_stay_one_row() -> None:
    """With LangGraph's default durability a task may be done before the state that it was given is stored."""
    saver = DjangoSaver()
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c1"}}
    saver.put_writes(config, [("__interrupt__", "first")], "task")
    saver.put(thread(), {**empty_checkpoint(), "id": "c1"}, {}, {})
    saver.put_writes(config, [("__interrupt__", "second"), ("__resume__", ["answer"])], "task")
    assert CheckpointWrite.objects.count() == 1
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [("task", "__resume__", ["answer"]), ("task", "__interrupt__", "second")]


@pytest.mark.usefixtures("in_one_commit")
def test_what_a_task_wrote_is_kept_once_with_the_state_that_came_of_it() -> None:
    long = "An answer of some length. " * 100
    app = graph(lambda state: {"steps": ["a"], "extra": long}, lambda state: {"steps": [long]})
    app.invoke({"steps": []}, thread(), durability="sync")
    assert not CheckpointWrite.objects.exists()
    first, second = Checkpoint.objects.order_by("checkpoint_id")[2:]
    assert json.dumps([first.state, first.outputs]).count(long) == 1
    assert second.state["steps"] == ["a", long]
    tasks = {task.name: task.result for state in app.get_state_history(thread()) for task in state.tasks}
    assert tasks["n0"] == {"steps": ["a"], "extra": long}
    assert tasks["n1"] == {"steps": [long]}


@pytest.mark.usefixtures("in_one_commit")
def test_a_copy_of_a_thread_says_what_its_tasks_wrote() -> None:
    saver = DjangoSaver()
    app = graph(lambda state: {"steps": ["a"], "extra": "x" * 1_000}, saver=saver)
    app.invoke({"steps": []}, thread())
    saver.copy_thread("t", "copy")
    saver.delete_thread("t")
    tasks = [task.result for state in app.get_state_history(thread("copy")) for task in state.tasks]
    assert {"steps": ["a"], "extra": "x" * 1_000} in tasks


@pytest.mark.usefixtures("in_one_commit")
def test_of_tasks_that_write_in_turn_what_is_not_complete_has_rows_of_its_own() -> None:
    saver = DjangoSaver()
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c1"}}
    saver.put(thread(), {**empty_checkpoint(), "id": "c1"}, {}, {})
    saver.put_writes(config, [("steps", ["a"])], "first", "1")
    saver.flush()
    saver.put_writes(config, [("steps", ["b"])], "second", "2")
    saver.put(config, {**empty_checkpoint(), "id": "c2"}, {}, {})
    assert [row.task_id for row in CheckpointWrite.objects.all()] == ["first"]
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [("first", "steps", ["a"]), ("second", "steps", ["b"])]


def test_a_state_with_versions_of_another_saver_goes_on() -> None:
    """LangGraph's own savers count in texts; so does what was copied from them."""
    saver = DjangoSaver()
    first = saver.get_next_version("00000000000000000000000000000009.0.73", None)
    second = saver.get_next_version(first, None)
    assert "00000000000000000000000000000009.0.73" < first < second
    assert saver.get_next_version(None, None) == 1
    assert saver.get_next_version(9, None) == 10
