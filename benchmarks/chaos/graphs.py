"""Graphs of three shapes whose every node has one effect in the world outside: most keyed, some at most once."""

from __future__ import annotations

import json
import operator
import os
import time
import urllib.request
from typing import Annotated, Any, TypedDict
from urllib.parse import urlencode

from langgraph.graph import START, StateGraph
from langgraph.types import Send

from benchmarks.chaos.marks import mark
from lockstep.core import context
from lockstep.workflows import tool, workflow

__all__ = ["EFFECTS", "URL"]

URL = "LOCKSTEP_CHAOS_URL"
"""Environment variable: where the world outside is."""
WORK_S = 0.07
"""Before the effect of a node and after it."""
MEANT_S = 0.03
"""Between the intent and the request."""
ATTEMPTS = 20
"""Of one call: an attempt whose worker died counts, and the same call may be hit again and again."""
EFFECTS = {
    "chaos_linear": ["n0", "n1", "n2", "n3", "n4", "n5"],
    "chaos_fan_out": ["split", "a", "b", "c", "join"],
    "chaos_nested": ["first", "in1", "in2", "each0", "each1", "each2"],
}
"""Shape -> what a run of it does, each once."""


class State(TypedDict, total=False):
    item: str
    steps: Annotated[list[str], operator.add]
    receipts: Annotated[dict[str, int], operator.or_]


def ask(run: str, place: str, key: str) -> int:
    """Have it done outside; the receipt."""
    mark("meant", run, place)
    time.sleep(MEANT_S)
    query = urlencode({"run": run, "place": place, "pid": os.getpid()})
    headers = {"Idempotency-Key": key} if key else {}
    asked = urllib.request.Request(f"{os.environ[URL]}/?{query}", data=b"", headers=headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        receipt: int = json.load(answer)["receipt"]
    return receipt


@tool(effect="keyed", timeout_s=30, max_attempts=ATTEMPTS)
def charge(run: str, place: str, *, idempotency_key: str = "") -> int:
    return ask(run, place, idempotency_key)


@tool(effect="at_most_once", timeout_s=30, max_attempts=ATTEMPTS)
def wire(run: str, place: str) -> int:
    return ask(run, place, "")


def step(name: str, called: Any = charge) -> Any:
    def node(state: State) -> State:
        run, place = str(context.current().run), f"{name}{state.get('item', '')}"
        mark("begun", run, place)
        time.sleep(WORK_S)
        receipt = called(run, place)
        time.sleep(WORK_S)
        mark("ended", run, place)
        return {"steps": [place], "receipts": {place: receipt}}

    return node


def line(names: list[str], **once: Any) -> StateGraph:
    graph = StateGraph(State)
    for before, name in zip([START, *names], names, strict=False):
        graph.add_node(name, step(name, once.get(name, charge)))
        graph.add_edge(before, name)
    return graph


@workflow("chaos_linear")
def linear() -> StateGraph:
    return line(EFFECTS["chaos_linear"], n3=wire)


@workflow("chaos_fan_out")
def fan_out() -> StateGraph:
    graph = StateGraph(State)
    for name in EFFECTS["chaos_fan_out"]:
        graph.add_node(name, step(name, wire if name == "c" else charge))
    graph.add_edge(START, "split")
    for name in ("a", "b", "c"):
        graph.add_edge("split", name)
    graph.add_edge(["a", "b", "c"], "join")
    return graph


@workflow("chaos_nested")
def nested() -> StateGraph:
    graph = line(["first"])
    graph.add_node("inner", line(["in1", "in2"], in2=wire).compile())
    graph.add_node("each", step("each"))
    graph.add_edge("first", "inner")
    graph.add_conditional_edges("inner", each, ["each"])
    return graph


def each(state: State) -> list[Send]:
    return [Send("each", {"item": str(number)}) for number in range(3)]
