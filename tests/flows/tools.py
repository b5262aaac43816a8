"""Graphs whose nodes call tools. The effects happen at the server that ``FLOWS_EFFECTS`` names."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from langgraph.graph import START, StateGraph

from lockstep.workflows import Backoff, tool, workflow
from tests.flows.workflows import State, die, note, step
from tests.workflows.effects import request

QUICK = Backoff(base_s=0.01, most_s=0.02)


def told() -> dict[str, Any]:
    """How the server is to behave."""
    found: dict[str, Any] = json.loads(os.environ.get("FLOWS_SERVER", "{}"))
    return found


def ask(op: str, key: str) -> Any:
    die("after intent")
    found = request(op, key, **told())
    die("after effect")
    return found


@tool(effect="keyed", timeout_s=20, max_attempts=4, backoff=QUICK)
def charge(op: str, *, idempotency_key: str = "") -> Any:
    return ask(op, idempotency_key)


@tool(effect="at_most_once", timeout_s=20, max_attempts=4, backoff=QUICK)
def wire(op: str) -> Any:
    return ask(op, "")


@tool(effect="keyed", timeout_s=2, max_attempts=2, backoff=QUICK)
async def acharge(op: str, *, idempotency_key: str = "") -> Any:
    return ask(op, idempotency_key)


@tool(effect="pure", isolation="process", timeout_s=8, max_attempts=1)
def apart(op: str, seconds: float = 0) -> Any:
    note(f"{os.getpid()} {op}")
    time.sleep(seconds)
    return {"pid": os.getpid(), "op": op}


@tool(effect="pure", isolation="process", timeout_s=8, max_attempts=1)
def gone(op: str) -> Any:
    os._exit(9)


@tool(effect="pure", isolation="process", timeout_s=8, max_attempts=1)
def unpicklable(op: str) -> Any:
    return threading.Lock()


def paying(called: Any) -> StateGraph:
    def pay(state: State) -> State:
        die("before intent")
        found = called("pay")
        die("after result")
        return {"answer": found, "steps": ["paid"]}

    graph = StateGraph(State)
    graph.add_node("pay", pay)
    graph.add_node("tell", step("tell"))
    graph.add_edge(START, "pay")
    graph.add_edge("pay", "tell")
    return graph


@workflow("charging")
def charging() -> StateGraph:
    return paying(charge)


@workflow("wiring")
def wiring() -> StateGraph:
    return paying(wire)


def waits_for(path: Path, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@workflow("zombie")
def zombie() -> StateGraph:
    """Waits before its call until the test lets it go on."""

    def pay(state: State) -> State:
        Path(os.environ["FLOWS_AT"]).touch()
        waits_for(Path(os.environ["FLOWS_GO"]))
        return {"answer": charge("pay"), "steps": ["paid"]}

    graph = StateGraph(State)
    graph.add_node("pay", pay)
    graph.add_edge(START, "pay")
    return graph
