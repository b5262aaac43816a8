"""Graphs that stop: for several people at once, for an event, for whichever comes first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from lockstep.workflows import request_review, sleep_until, wait_for_event, workflow
from tests.flows.workflows import State, note, step

SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "maximum": 500, "title": "Pounds"},
        "reason": {"type": "string", "enum": ["late", "broken"]},
        "message": {"type": "string", "maxLength": 200, "description": "What the customer reads."},
        "notify": {"type": "boolean"},
        "weight": {"type": "number"},
        "on": {"type": "string", "format": "date"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    },
    "required": ["amount"],
}
PROPOSAL = {
    "amount": 120, "reason": "late", "message": "Sorry.\nWe are late.", "notify": True, "weight": 1.5,
    "on": "2026-12-01", "lines": [{"sku": "H9-UC3"}],
}  # fmt: skip


def asks(name: str, **given: Any) -> Any:
    def node(state: State) -> State:
        note(f"{name} begins")
        decided = request_review(name, {"of": name, "amount": state.get("amount", 0)}, **given)
        note(f"{name} {decided.decision}")
        return {"steps": [f"{name}:{decided.decision}:{decided.args.get('amount')}"]}

    node.__name__ = name
    return node


@workflow("refund")
def refund() -> StateGraph:
    def decide(state: State) -> State:
        decided = request_review(
            "refund an order",
            {**PROPOSAL, "amount": state["amount"]},
            schema=SCHEMA,
            assignee=(state.get("answer") or {}).get("assignee", ""),
            expires=timedelta(hours=2),
            note="The parcel came on Tuesday.",
        )
        return {"answer": {"decision": decided.decision, "args": decided.args, "by": decided.by}}

    graph = StateGraph(State)
    graph.add_node("decide", decide)
    graph.add_node("pay", step("pay"))
    graph.add_edge(START, "decide")
    graph.add_edge("decide", "pay")
    return graph


@workflow("three")
def three() -> StateGraph:
    graph = StateGraph(State)
    graph.add_node("join", step("join"))
    for name in ("a", "b", "c"):
        graph.add_node(name, asks(name, expires=timedelta(hours=1)))
        graph.add_edge(START, name)
        graph.add_edge(name, "join")
    graph.add_edge("join", END)
    return graph


@workflow("mixed")
def mixed() -> StateGraph:
    """A review, an event and a time, side by side, each with a last moment of its own."""

    def hear(state: State) -> State:
        said = wait_for_event("stock.came", key="h9", expires=timedelta(minutes=20))
        return {"steps": [f"heard:{said}"]}

    def rest(state: State) -> State:
        sleep_until(timedelta(minutes=10))
        return {"steps": ["rested"]}

    graph = StateGraph(State)
    for name, node in (("ask", asks("ask", expires=timedelta(minutes=30))), ("hear", hear), ("rest", rest)):
        graph.add_node(name, node)
        graph.add_edge(START, name)
    return graph


@workflow("question")
def question() -> StateGraph:
    def ask(state: State) -> State:
        return {"answer": interrupt({"question": "Which colour?", "of": ["red", "blue"]})}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph


@workflow("twice")
def twice() -> StateGraph:
    """One node that asks, hears, and asks again."""

    def ask(state: State) -> State:
        first = request_review("first", {"amount": 1})
        second = request_review("second", {"amount": 2})
        return {"steps": [first.decision, second.decision]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph


@workflow("breaks")
def breaks() -> StateGraph:
    """Raises once a person has approved."""

    def decide(state: State) -> State:
        decided = request_review("pay", {"amount": 1})
        if decided.approved:
            raise ValueError("the bank is closed")
        return {"steps": ["rejected"]}

    graph = StateGraph(State)
    graph.add_node("decide", decide)
    graph.add_edge(START, "decide")
    return graph
