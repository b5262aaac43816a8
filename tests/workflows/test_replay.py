"""Runs that are gone through once more, from what is written of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from lockstep.core import features
from lockstep.core.features import FeatureSpec
from lockstep.core.ids import new_id
from lockstep.core.ports import Said
from lockstep.llm import Feature, feature
from lockstep.prompts.releases import release
from lockstep.testing.llm import FakeModels, calls, fake_models, tool_call
from lockstep.testing.workflows import crash_at, go_on, pass_time, run_inline
from lockstep.workflows import Backoff, answer, registry, replay, request_review, tool, workflow
from lockstep.workflows.exceptions import NotReplayable, UnknownWorkflow
from lockstep.workflows.models import ModelAnswer, Run, ToolAttempt, ToolCall
from lockstep.workflows.replays.noting import Noting
from lockstep.workflows.replays.report import Report
from lockstep.workflows.saver import Fence
from lockstep.workflows.tracing import Attempt, Tracer
from tests.prompts.conftest import version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_one_commit")]


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
    workflow("asks")(asks)
    workflow("agent")(agent)
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


def asks() -> StateGraph:
    """Two nodes ask models: one by a feature's prompt, in pieces; one by LangChain's model, twice."""

    def draft(state: State) -> State:
        with replies.stream({"question": "why" if "asks" not in changing else "how"}) as stream:
            text = "".join(stream.text())
        return {"steps": [f"{stream.reply.call} {text}"]}

    def polish(state: State) -> State:
        model = plain.chat_model(temperature=0.5)
        said = [model.invoke(f"{turn} {state['steps'][-1]}") for turn in ("once", "once", "twice")]
        return {"steps": [f"{message.id} {message.text} {message.response_metadata}" for message in said]}

    graph = StateGraph(State)
    graph.add_sequence([draft, polish])
    graph.add_edge(START, "draft")
    return graph


class Talk(TypedDict):
    messages: Annotated[list[Any], add_messages]


def agent() -> StateGraph:
    """As agents are: a model that wants tools, tools, a model. LangGraph gives ids by chance to their messages."""

    async def think(state: Talk) -> Talk:
        return {
            "messages": [
                await plain.chat_model().bind_tools([look.as_langchain()]).ainvoke(state["messages"])
            ]
        }

    graph = StateGraph(Talk)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([look.as_langchain()]))
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    graph.add_edge(START, "think")
    return graph


@pytest.fixture
def models(settings: Any) -> Iterator[FakeModels]:
    """Two features of public data, with all that is said kept where nobody is in it."""
    settings.LOCKSTEP = settings.LOCKSTEP | {
        "llm": {"providers": {"standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"}}}
    }
    for name, prompt in (("tests.replies", "tests-reply"), ("tests.plain", "")):
        feature(name, owner="a@example.com", model="standin:quoting", data_class="public", prompt=prompt)
    released("Answer {question} in a word.")
    with fake_models(otherwise="always") as models:
        yield models
    features.forget("tests.replies")
    features.forget("tests.plain")


def released(text: str) -> None:
    release("tests-reply", version("tests-reply", text).key, actor="ann", reason="better")


replies = Feature(
    FeatureSpec("tests.replies", prompt="tests-reply", model="standin:quoting", data_class="public")
)
plain = Feature(FeatureSpec("tests.plain", model="standin:quoting", data_class="public"))


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def everything() -> dict[str, Any]:
    """All rows of all tables of runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'lockstep_workflows_%' AND relkind IN ('r', 'p')"
        )
        names = [name for (name,) in cursor.fetchall()]
        found = {}
        for name in names:
            cursor.execute(
                f"SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text), '[]')::text FROM {name} t"
            )
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
    assert (
        report.verdict == "The first difference is node 'second', step 2: what it writes differs, in steps."
    )
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
    ToolCall.objects.filter(run=run).update(next_at=timezone.now())
    run = go_on(pass_time(run, timedelta(hours=1)))
    assert run.status == "succeeded"
    report = replay(run)
    assert report.same, report.verdict


# models


def test_models_say_again_what_they_said_and_nothing_is_asked(models: FakeModels) -> None:
    models.script += ["because", "first", "second", "third"]
    run = run_inline("asks", {})
    assert run.status == "succeeded", run.error
    assert [answer.ordinal for answer in ModelAnswer.objects.all()] == [0, 0, 1, 0]
    spent, asked = calls().count(), len(models.requests)
    report = replay(run)
    assert report.same, report.verdict
    assert nodes(report) == ["draft", "polish"]
    assert (calls().count(), len(models.requests)) == (spent, asked) == (4, 4)


def test_an_agent_is_replayed_though_its_messages_have_ids_by_chance(models: FakeModels) -> None:
    models.script += [tool_call("buys.look", amount=3), "it is fair"]
    run = run_inline("agent", {"messages": [("user", "Is 3 fair?")]})
    assert run.status == "succeeded", run.error
    assert effects == ["looked 3"]
    report = replay(run)
    assert report.same, report.verdict
    assert nodes(report) == ["think", "tools", "think"]
    assert effects == ["looked 3"]


def test_another_request_is_named_and_not_sent(models: FakeModels) -> None:
    run = run_inline("asks", {})
    changing.add("asks")
    asked = len(models.requests)
    report = replay(run)
    assert (report.first.node, report.first.why) == ("draft", "its request to the model differs")
    assert len(models.requests) == asked


def test_the_version_of_the_prompt_that_was_used_is_used_again(models: FakeModels) -> None:
    run = run_inline("asks", {})
    released("Say {question} at length.")
    assert replay(run).same


def test_live_models_are_asked_as_they_were_and_what_they_say_is_compared(models: FakeModels) -> None:
    models.script += ["because", "first", "second", "third"]
    run = run_inline("asks", {})
    released("Say {question} at length.")
    models.script += ["because", "first", "another", "third"]
    report = replay(run, "live-model")
    assert models.requests[4].text == "Answer why in a word."
    assert [call.prompt_version for call in calls(feature="tests.replies")] == [
        ModelAnswer.objects.get(prompt="tests-reply").prompt_version
    ] * 2
    assert calls(run=str(run.pk)).count() == 8
    heard = {one.node: [(was.then, was.now) for was in one.heard] for one in report.checked if one.heard}
    assert heard == {
        "draft": [("because", "because")],
        "polish": [("first", "first"), ("second", "another"), ("third", "third")],
    }
    assert ModelAnswer.objects.filter(run=run).count() == 4


def test_what_a_policy_keeps_out_is_not_noted(models: FakeModels, settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"policies": {"tests.replies": "metadata"}}}
    models.script += ["because", "write to anna.smith@example.com", "second", "third"]
    run = run_inline("asks", {})
    assert [(answer.kept_out, answer.answer is None) for answer in ModelAnswer.objects.all()] == [
        ("metadata", True), ("redact", True), ("", False), ("", False),
    ]  # fmt: skip
    report = replay(run)
    assert [one.why for one in report.checked if not one.same] == [
        "the answer of standin:quoting was not kept: the policy 'metadata' of the feature 'tests.replies' keeps it out",
        "the answer of standin:quoting was not kept: the policy 'redact' of the feature 'tests.plain' keeps it out",
    ]


def test_outside_of_a_run_nothing_is_noted(models: FakeModels) -> None:
    plain.invoke("Hello")
    assert not ModelAnswer.objects.exists()


# shapes


def subgraphs() -> StateGraph:
    """A subgraph that asks a person and calls a tool; an error that is handled; a way that a node chooses."""

    def ask(state: State) -> State:
        decided = request_review("pay", {"amount": state["amount"]})
        return {"steps": [decided.decision, pay(state["amount"])]}

    def close(state: State) -> State:
        return {"steps": ["closed"]}

    def breaks(state: State) -> Any:
        raise ValueError("never")

    def handles(state: State) -> State:
        return {"steps": ["handled"]}

    def chooses(state: State) -> Command[Any]:
        return Command(update={"steps": ["chose"]}, goto="inner" if len(state["steps"]) < 5 else END)

    inner = StateGraph(State)
    inner.add_sequence([ask, close])
    inner.add_edge(START, "ask")
    graph = StateGraph(State)
    graph.add_node("inner", inner.compile())
    graph.add_node("breaks", breaks, error_handler=handles)
    graph.add_node("chooses", chooses)
    graph.add_edge(START, "inner")
    graph.add_edge("inner", "breaks")
    graph.add_edge("breaks", "chooses")
    return graph


def test_a_graph_with_everything_in_it_is_replayed(user: Any) -> None:
    workflow("subgraphs")(subgraphs)
    run = run_inline("subgraphs", {"amount": 3})
    assert replay(run).same
    while run.status == "waiting":
        answer(run.waits.get(status="open"), "approve", by=user)
        run = go_on(run)
        report = replay(run)
        assert report.same, report.verdict
    assert run.status == "succeeded", run.error
    assert nodes(report).count("inner") >= 1
    assert nodes(report)[:4] == ["ask", "close", "inner", "breaks"]
    paid = len(effects)
    replay(run)
    assert len(effects) == paid


def test_a_node_that_calls_a_graph_itself_is_replayed_with_what_is_in_it() -> None:
    def within(state: State) -> State:
        return {"steps": [pay(state["amount"])]}

    def calls_it(state: State) -> State:
        inner = StateGraph(State)
        inner.add_node("within", within)
        inner.add_edge(START, "within")
        before = look(state["amount"])
        found = inner.compile().invoke({"amount": state["amount"], "steps": []})
        return {"steps": [before, *found["steps"]]}

    def outer() -> StateGraph:
        graph = StateGraph(State)
        graph.add_node("calls_it", calls_it)
        graph.add_edge(START, "calls_it")
        return graph

    workflow("outer")(outer)
    run = run_inline("outer", {"amount": 3})
    assert run.status == "succeeded", run.error
    effects.clear()
    report = replay(run)
    assert report.same, report.verdict
    assert effects == []


def test_a_subgraph_that_keeps_its_state_is_refused_by_name() -> None:
    def keeping() -> StateGraph:
        inner = StateGraph(State)
        inner.add_node("in1", lambda state: {"steps": ["in1"]})
        inner.add_edge(START, "in1")
        graph = StateGraph(State)
        graph.add_node("inner", inner.compile(checkpointer=True))
        graph.add_edge(START, "inner")
        return graph

    workflow("keeping")(keeping)
    with pytest.raises(NotReplayable, match="keeps its state from call to call"):
        replay(run_inline("keeping", {}))


def test_what_an_earlier_run_of_the_thread_left_is_the_state_of_the_next() -> None:
    run_inline("linear", {"answer": "x" * 600}, thread="one")
    second = run_inline("linear", {}, thread="one")
    report = replay(second)
    assert report.same, report.verdict
    assert len(nodes(report)) == 6


def test_only_the_owner_of_a_run_notes_what_was_said(models: FakeModels) -> None:
    run = run_inline("asks", {})
    said = Said([AIMessage("late")], "standin:quoting", feature="tests.plain")

    def note(epoch: int) -> int:
        fence = Fence(str(run.pk), epoch, lease_s=1)
        attempt = Attempt("draft", 1, 1, 0.0, task=new_id())
        Noting(Tracer("w", run.codec, fence=fence), fence, attempt).note("0" * 64, said)
        return ModelAnswer.objects.filter(run=run, request="0" * 64).count()

    assert note(run.epoch) == 0  # it has ended
    sql("UPDATE lockstep_workflows_run SET status = 'running' WHERE id = %s", run.pk)
    assert note(run.epoch - 1) == 0
    assert note(run.epoch) == 1
