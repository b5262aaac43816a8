"""Graphs that ask the database wherever a graph has code: in nodes, on the way between them, in tasks."""

from __future__ import annotations

from typing import Any

from django.db import connection
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph

from lockstep.workflows import workflow
from tests.flows.workflows import State


def read(state: Any = None) -> State:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"steps": ["read"]}


@workflow("reading_on_the_way")
def reading_on_the_way() -> StateGraph[Any]:
    def route(state: State) -> str:
        read()
        return "end"

    graph = StateGraph(State)
    graph.add_node("end", read)
    for name in "abc":
        graph.add_node(name, lambda state: {"steps": ["here"]})
        graph.add_edge(START, name)
        graph.add_conditional_edges(name, route, ["end"])
    return graph


@workflow("reading_beside")
def reading_beside() -> StateGraph[Any]:
    """Sync nodes beside an async one: LangGraph runs them in threads of the event loop."""

    async def think(state: State) -> State:
        return {"steps": ["thought"]}

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    for name in "abc":
        graph.add_node(name, read)
        graph.add_edge(START, name)
    return graph


@workflow("reading_in_tasks")
def reading_in_tasks() -> Any:
    @task
    def look(number: int) -> int:
        read()
        return number

    @entrypoint()
    def flow(given: Any) -> list[int]:
        return [future.result() for future in [look(number) for number in range(3)]]

    return flow
