"""Nodes ask models through the door, and the ledger says which attempt at which node asked."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from lockstep.core import features
from lockstep.llm import feature
from lockstep.llm.models import Call
from lockstep.testing.workflows import run_inline
from lockstep.workflows import workflow
from lockstep.workflows.models import ModelAnswer

pytestmark = pytest.mark.django_db


class State(TypedDict, total=False):
    said: str


def test_a_call_names_run_node_and_attempt(settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {
        "llm": {"providers": {"standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"}}}
    }
    support = feature("tests.nodes", owner="ops@example.com", model="standin:quoting")
    tries = []

    def ask(state: State) -> State:
        said = support.chat_model().invoke("How?").text
        tries.append(said)
        if len(tries) == 1:
            raise ConnectionError("not this time")
        return {"said": said}

    async def ask_on(state: State) -> State:
        return {"said": (await support.ainvoke("And then?")).text}

    @workflow("asks-models")
    def graph() -> StateGraph[State]:
        made = StateGraph(State)
        made.add_node("ask", ask, retry_policy=RetryPolicy(initial_interval=0.01, retry_on=ConnectionError))
        made.add_node("on", ask_on)
        made.add_edge(START, "ask")
        made.add_edge("ask", "on")
        made.add_edge("on", END)
        return made

    try:
        run = run_inline("asks-models", {})
        assert run.status == "succeeded", run.error
        made = [*Call.objects.filter(run=str(run.pk)).order_by("at")]
        assert [(one.node, one.node_attempt) for one in made] == [
            ("ask", "1.1"),
            ("ask", "1.2"),
            ("on", "1.1"),
        ]
        assert ModelAnswer.objects.filter(run=run).count() == 2  # what was asked twice was said last
        traced = run.nodes.order_by("id").values_list("node", "epoch", "attempt")
        assert {(node, f"{epoch}.{attempt}") for node, epoch, attempt in traced} >= {
            (one.node, one.node_attempt) for one in made
        }
    finally:
        features.forget("tests.nodes")
