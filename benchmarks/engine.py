"""Transitions a second of one worker: LangGraph alone, with its own PostgresSaver, and as a durable run.

The same graph goes through all arms: a line of nodes over a state of a few kilobytes. ``rewritten``: each node writes
the whole of it anew; ``counter``: most of it stays as it is. PostgresSaver has its own prepared connection and
``durability="sync"``; ``lockstep`` does the same and more: a fence, a lease, and a row of trace for each node, and its
figure includes starting, owning and ending the run. Every arm runs in the same process, in turns; bytes are those of
the write-ahead log, fsyncs those that client sessions waited for.
"""

from __future__ import annotations

import argparse
import operator
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

import psycopg

from benchmarks import project
from benchmarks.database import scratch_url
from benchmarks.exceptions import BenchmarkError
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import rotated

PEER = "postgres_saver"
NODES, RUNS, ROUNDS = 30, 10, 7
QUICK_RUNS, QUICK_ROUNDS = 3, 3
STATE_BYTES = 5_000
SHAPES = ("rewritten", "counter")


class State(TypedDict):
    counter: int
    documents: list[dict[str, Any]]
    steps: Annotated[list[str], operator.add]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each arm (default: {ROUNDS})")
    parser.add_argument(
        "--runs", type=int, metavar="N", help=f"of one turn, of {NODES} nodes (default: {RUNS})"
    )


def run(options: argparse.Namespace) -> Report:
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
    project.start(project.HASHING)
    skipped: dict[str, str] = {}
    arms: dict[str, dict[str, Any]] = {}
    with psycopg.connect(scratch_url(), autocommit=True) as link:
        for shape in SHAPES:
            turns, sessions = prepared(shape, skipped)
            speed: dict[str, list[float]] = {name: [] for name in turns}
            for name in turns:
                turns[name](1)  # plans, caches, partitions
            for number in range(rounds):
                for name in rotated(tuple(turns), number):
                    began = time.perf_counter()
                    turns[name](runs)
                    speed[name].append(runs * NODES / (time.perf_counter() - began))
            for name, found in speed.items():
                figures = arms.setdefault(name, {})
                figures[shape] = {
                    "transitions_per_s": statistics.median(found),
                    **written(link, sessions, turns[name], runs),
                }
        check_traces(link)
    for figures in arms.values():
        figures.update(figures[SHAPES[0]])
    return report({"rounds": rounds, "runs": runs, "nodes": NODES, "state_bytes": STATE_BYTES}, arms, skipped)


def prepared(shape: str, skipped: dict[str, str]) -> tuple[dict[str, Callable[[int], None]], list[Any]]:
    """Arm -> what does so many runs; and the sessions that they use and keep."""
    from django.db import connection
    from langgraph.checkpoint.memory import InMemorySaver

    from lockstep.workflows import start, workflow
    from lockstep.workflows.engine import advance

    name = f"bench_{shape}"
    workflow(name)(lambda: graph(shape))

    def memory(runs: int) -> None:
        app = graph(shape).compile(checkpointer=InMemorySaver())
        for _ in range(runs):
            app.invoke(given(), place(), durability="sync")

    def lockstep(runs: int) -> None:
        for _ in range(runs):
            ended = advance(str(start(name, given()).pk))
            if ended != "succeeded":
                raise BenchmarkError(f"a run ended as {ended}")

    arms: dict[str, Callable[[int], None]] = {"memory": memory, "lockstep": lockstep}
    try:
        from langgraph.checkpoint.postgres import PostgresSaver
    except ImportError:
        skipped[PEER] = "pip install langgraph-checkpoint-postgres"
        return arms, [connection.cursor()]
    link = psycopg.connect(
        scratch_url(), autocommit=True, prepare_threshold=0, row_factory=psycopg.rows.dict_row
    )
    saver = PostgresSaver(link)
    saver.setup()
    app = graph(shape).compile(checkpointer=saver)

    def postgres_saver(runs: int) -> None:
        for _ in range(runs):
            app.invoke(given(), place(), durability="sync")

    return {**arms, PEER: postgres_saver}, [connection.cursor(), link]


def graph(shape: str) -> Any:
    from langgraph.graph import START, StateGraph

    def node(state: State) -> dict[str, Any]:
        counter = state["counter"] + 1
        if shape == "counter":
            return {"counter": counter}
        return {"counter": counter, "documents": documents(counter)}

    built = StateGraph(State)
    before = START
    for number in range(NODES):
        built.add_node(f"n{number}", node)
        built.add_edge(before, f"n{number}")
        before = f"n{number}"
    return built


def documents(counter: int) -> list[dict[str, Any]]:
    """About STATE_BYTES of what an agent carries about."""
    text = f"What the customer wrote in message {counter}, and what was found of it in the help pages. "
    return [
        {"id": number, "text": (text * 5)[:400], "score": 0.5 + number / 100}
        for number in range(STATE_BYTES // 450)
    ]


def given() -> State:
    return {"counter": 0, "documents": documents(0), "steps": []}


def place() -> Any:
    return {"configurable": {"thread_id": str(uuid.uuid4())}, "recursion_limit": 1000}


def written(
    link: psycopg.Connection[Any], sessions: Sequence[Any], turn: Callable[[int], None], runs: int
) -> dict[str, float]:
    """What one transition puts into the log, and how often it waits for the disk."""
    before = waited(link), position(link)
    turn(runs)
    flush(sessions)
    after = waited(link), position(link)
    transitions = runs * NODES
    return {
        "fsync_per_transition": (after[0] - before[0]) / transitions,
        "bytes_per_transition": (after[1] - before[1]) / transitions,
    }


def position(link: psycopg.Connection[Any]) -> float:
    row = link.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


def waited(link: psycopg.Connection[Any]) -> float:
    row = link.execute(
        "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'"
    ).fetchone()
    assert row is not None
    return float(row[0] or 0)


def flush(sessions: Sequence[Any]) -> None:
    """Let every session report what it waited for: those of the engine by ending, the others when they are asked to."""
    from lockstep.workflows.connection import apart

    apart.close()
    for session in sessions:
        session.execute("SELECT pg_stat_force_next_flush()")
        session.execute("SELECT 1")
    time.sleep(1)


def check_traces(link: psycopg.Connection[Any]) -> None:
    """No figure without the trace: a row for each node of each run."""
    row = link.execute(
        "SELECT (SELECT count(*) FROM lockstep_workflows_nodeexecution WHERE status = 'ok'), count(*) * %s"
        " FROM lockstep_workflows_run WHERE status = 'succeeded'", [NODES],
    ).fetchone()  # fmt: skip
    if row is None or row[0] != row[1]:
        raise BenchmarkError(f"{row and row[0]} rows of trace for {row and row[1]} transitions")


def report(recipe: dict[str, Any], arms: dict[str, dict[str, Any]], skipped: dict[str, str]) -> Report:
    bars: list[Bar] = []
    if PEER in arms:
        for shape in SHAPES:
            ours, theirs = arms["lockstep"][shape], arms[PEER][shape]
            bars += [
                Bar(f"{shape}: lockstep / {PEER}, transitions",
                    ours["transitions_per_s"] / theirs["transitions_per_s"], at_least=1.0),
                Bar(f"{shape}: lockstep / {PEER}, bytes",
                    ours["bytes_per_transition"] / theirs["bytes_per_transition"], at_most=1.2),
                Bar(f"{shape}: fsyncs of a transition", ours["fsync_per_transition"], at_most=1.2),
            ]  # fmt: skip
    return Report(
        "engine",
        [
            Column(f"{shape}/{key}", f"{shape}: {heading}", form)
            for shape in SHAPES
            for key, heading, form in (
                ("transitions_per_s", "transitions/s", "{:.0f}"),
                ("fsync_per_transition", "fsyncs", "{:.2f}"),
                ("bytes_per_transition", "bytes", "{:.0f}"),
            )
        ],
        arms,
        recipe=recipe,
        peer=PEER,
        peer_key="transitions_per_s",
        skipped=skipped,
        bars=bars,
    )
