"""A tool that outlives its time until its process has had enough of it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from langgraph.graph import START, StateGraph

from lockstep.workflows import Backoff, tool, workflow
from lockstep.workflows.exceptions import ToolFailed
from lockstep.workflows.tools.threads import MOST
from tests.flows.workflows import State


@tool(effect="pure", timeout_s=0.05, max_attempts=MOST, backoff=Backoff(base_s=0.01, most_s=0.02))
def linger() -> None:
    time.sleep(60)


@workflow("lingers")
def lingers() -> StateGraph[Any]:
    def wait(state: State) -> State:
        with suppress(ToolFailed):
            linger()
        return {"steps": [str(os.getpid())]}

    return StateGraph(State).add_node("wait", wait).add_edge(START, "wait")
