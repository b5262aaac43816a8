"""Graphs of every shape that the tests run. What they do to the world goes into a file that the tests read."""

from __future__ import annotations

import operator
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from lockstep.core import context
from lockstep.workflows import request_review, sleep_until, wait_for_event, workflow


class State(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    amount: int
    answer: Any


def note(text: str) -> None:
    """Outside of every transaction: what was done stays done."""
    if path := os.environ.get("FLOWS_FILE"):
        with Path(path).open("a") as file:
            file.write(f"{text}\n")


def die(moment: str) -> None:
    """By SIGKILL, or stop by SIGSTOP, where ``FLOWS_DIE`` names the moment: once, whoever comes there first."""
    wanted, _, marker = os.environ.get("FLOWS_DIE", "").rpartition(" ")
    kind, _, place = wanted.partition(":")
    if place != moment:
        return
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[kind])


def step(name: str) -> Any:
    def node(state: State) -> State:
        die(f"before {name}")
        note(f"{context.current().run} {name}")
        die(f"after {name}")
        time.sleep(float(os.environ.get("FLOWS_SLEEP", "0")))
        return {"steps": [name]}

    node.__name__ = name
    return node


@workflow("linear")
def linear() -> StateGraph:
    graph = StateGraph(State)
    names = [f"n{at}" for at in range(6)]
    for before, name in zip([START, *names], names, strict=False):
        graph.add_node(name, step(name))
        graph.add_edge(before, name)
    graph.add_edge(names[-1], END)
    return graph


@workflow("fan_out")
def fan_out() -> StateGraph:
    graph = StateGraph(State)
    graph.add_node("split", step("split"))
    graph.add_node("join", step("join"))
    graph.add_edge(START, "split")
    for name in ("a", "b", "c"):
        graph.add_node(name, step(name))
        graph.add_edge("split", name)
        graph.add_edge(name, "join")
    graph.add_edge("join", END)
    return graph


@workflow("nested")
def nested() -> StateGraph:
    inner = StateGraph(State)
    inner.add_node("in1", step("in1"))
    inner.add_node("in2", step("in2"))
    inner.add_edge(START, "in1")
    inner.add_edge("in1", "in2")
    graph = StateGraph(State)
    graph.add_node("first", step("first"))
    graph.add_node("inner", inner.compile())
    graph.add_node("each", step("each"))
    graph.add_edge(START, "first")
    graph.add_edge("first", "inner")
    graph.add_conditional_edges("inner", lambda state: [Send("each", {}) for _ in range(3)], ["each"])
    return graph


@workflow("review")
def review() -> StateGraph:
    def decide(state: State) -> State:
        decided = request_review(
            "refund",
            {"amount": state["amount"]},
            schema={
                "type": "object",
                "properties": {"amount": {"type": "integer", "minimum": 1, "maximum": 500}},
                "required": ["amount"],
                "additionalProperties": False,
            },
            expires=timedelta(hours=1),
        )
        return {"answer": decided.decision, "amount": decided.args.get("amount", 0), "steps": ["decided"]}

    graph = StateGraph(State)
    graph.add_node("decide", decide)
    graph.add_node("pay", step("pay"))
    graph.add_edge(START, "decide")
    graph.add_edge("decide", "pay")
    return graph


@workflow("event")
def event() -> StateGraph:
    def wait(state: State) -> State:
        return {
            "answer": wait_for_event("payment.settled", key=str(state["amount"]), expires=timedelta(hours=1))
        }

    graph = StateGraph(State)
    graph.add_node("wait", wait)
    graph.add_edge(START, "wait")
    return graph


@workflow("sleeper")
def sleeper() -> StateGraph:
    def rest(state: State) -> State:
        sleep_until(timedelta(seconds=state["amount"]))
        return {"steps": ["rested"]}

    graph = StateGraph(State)
    graph.add_node("rest", rest)
    graph.add_edge(START, "rest")
    return graph


@workflow("fails")
def fails() -> StateGraph:
    def bad(state: State) -> State:
        raise ValueError("the order has no customer")

    graph = StateGraph(State)
    graph.add_node("ok", step("ok"))
    graph.add_node("bad", bad)
    graph.add_edge(START, "ok")
    graph.add_edge("ok", "bad")
    return graph


@workflow("endless", node_timeout_s=1)
def endless() -> StateGraph:
    def spin(state: State) -> State:
        while True:
            pass

    graph = StateGraph(State)
    graph.add_node("ok", step("ok"))
    graph.add_node("spin", spin)
    graph.add_edge(START, "ok")
    graph.add_edge("ok", "spin")
    return graph


@workflow("poison")
def poison() -> StateGraph:
    def kill(state: State) -> State:
        os._exit(9)

    graph = StateGraph(State)
    graph.add_node("ok", step("ok"))
    graph.add_node("kill", kill)
    graph.add_edge(START, "ok")
    graph.add_edge("ok", "kill")
    return graph


@workflow("asynchronous")
def asynchronous() -> StateGraph:
    async def think(state: State) -> State:
        return {"steps": ["thought"]}

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("say", step("say"))
    graph.add_edge(START, "think")
    graph.add_edge("think", "say")
    return graph


from tests.flows import lingering, reading, tools, waiting  # noqa: E402, F401 -- they use what stands above
