"""A workflow's graph, made ready: its nodes are watched, and what a deploy changed of it is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from langgraph._internal._serde import (
    build_serde_allowlist,  # how LangGraph itself derives the classes of a schema
)
from langgraph.checkpoint.serde.types import TASKS
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Send, StateSnapshot

from lockstep.workflows.saver import DjangoSaver
from lockstep.workflows.state import codec, digest
from lockstep.workflows.tracing import Node

__all__ = ["Graph", "levels"]

BRANCH = "branch:to:"


class Graph:
    """A compiled graph that many runs share."""

    def __init__(self, given: Any) -> None:
        if isinstance(given, StateGraph):
            given = given.compile()
        if not isinstance(given, Pregel):
            raise TypeError(
                f"A workflow returns a StateGraph or a compiled graph, not {type(given).__module__}."
                f"{type(given).__qualname__}."
            )
        for graph in _graphs(given):
            if graph.context_schema is not None:
                raise TypeError(
                    "A run has no context of LangGraph's (context_schema): put what nodes need into the state, or ask"
                    " lockstep.core.context for whom they work."
                )
        self.compiled = given
        self.codec = codec().allowing(_types(given))
        self.is_async = any(_only_async(code) for graph in _graphs(given) for code in _code(graph))
        self.pauses = any(
            graph.interrupt_before_nodes or graph.interrupt_after_nodes for graph in _graphs(given)
        )
        for graph in _graphs(given):
            for name, node in graph.nodes.items():
                if not isinstance(node.bound, Node) and name != "__start__":
                    node.__dict__.pop("node", None)  # LangGraph caches what it made of the bare one
                    node.bound = Node(node.bound, name)

    def with_saver(self, saver: DjangoSaver) -> Pregel[Any, Any, Any, Any]:
        """The graph, with its state kept by ``saver``."""
        found: Pregel[Any, Any, Any, Any] = self.compiled.copy({"checkpointer": saver})
        return found

    @property
    def topology(self) -> dict[str, Any]:
        """Names of nodes and channels and who triggers whom."""
        return {
            "nodes": {name: sorted(node.triggers) for name, node in sorted(self.compiled.nodes.items())},
            "channels": {
                name: type(channel).__name__ for name, channel in sorted(self.compiled.channels.items())
            },
        }

    @property
    def names(self) -> set[str]:
        """Its nodes, and those of the graphs within it."""
        return {name for graph in _graphs(self.compiled) for name in graph.nodes}

    @cached_property
    def digest(self) -> str:
        return digest(json.dumps(self.topology, sort_keys=True))

    def missing(self, values: Mapping[str, Any], ns: str = "") -> list[str]:
        """Nodes that a state is about to run and the graph has not. LangGraph would end there as if all were well.

        Args:
            ns: namespace of the graph within it whose state this is.
        """
        graph = (
            self._within.get("|".join(part.split(":")[0] for part in ns.split("|"))) if ns else self.compiled
        )
        wanted = {name.removeprefix(BRANCH) for name in values if name.startswith(BRANCH)}
        wanted |= {send.node for send in values.get(TASKS) or () if isinstance(send, Send)}
        return sorted(wanted - set(graph.nodes)) if graph is not None else []

    @cached_property
    def _within(self) -> dict[str, Pregel[Any, Any, Any, Any]]:
        """Graphs within it by the names of the nodes that hold them; not those that a node builds while it runs."""
        return {
            name: graph
            for name, graph in self.compiled.get_subgraphs(recurse=True)
            if isinstance(graph, Pregel)
        }

    def gone(self, saver: DjangoSaver, level: StateSnapshot) -> list[str]:
        """The same of a state within the run's, which its snapshot does not show: LangGraph has left them out."""
        place = level.config["configurable"]
        if not place.get("checkpoint_id"):
            return []
        found = saver.get_tuple({"configurable": place})
        return self.missing(found.checkpoint["channel_values"], place["checkpoint_ns"]) if found else []


def levels(state: StateSnapshot) -> Iterator[StateSnapshot]:
    """The states within a state: of graphs that were begun and have not come to their end."""
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            yield task.state
            yield from levels(task.state)


def _graphs(given: Pregel[Any, Any, Any, Any]) -> Iterator[Pregel[Any, Any, Any, Any]]:
    """The graph and those within it."""
    seen: set[int] = set()
    waiting: list[Any] = [given]
    while waiting:
        graph = waiting.pop()
        if id(graph) in seen or not isinstance(graph, Pregel):
            continue
        seen.add(id(graph))
        yield graph
        waiting += [inner for node in graph.nodes.values() for inner in node.subgraphs]


def _types(given: Pregel[Any, Any, Any, Any]) -> tuple[Any, ...]:
    found: set[Any] = set()
    for graph in _graphs(given):
        schemas = [*graph.builder.schemas] if isinstance(graph, CompiledStateGraph) else []
        found |= build_serde_allowlist(schemas=schemas, channels=dict(graph.channels))
    return tuple(sorted(found))


def _code(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    """What runs in it: its nodes, and what chooses between them."""
    for node in graph.nodes.values():
        yield node.bound.bound if isinstance(node.bound, Node) else node.bound
    if isinstance(graph, CompiledStateGraph):
        for branches in graph.builder.branches.values():
            yield from (branch.path for branch in branches.values())


def _only_async(code: Any) -> bool:
    return getattr(code, "afunc", None) is not None and getattr(code, "func", None) is None
