"""Reserving and settling on one hot budget: pairs a second beside SELECT FOR UPDATE, and whether the cap holds.

Every client is a connection that calls a procedure, so that nothing but the database's own work is measured; each
reservation and each settlement is a transaction. The arms differ in the two hooks of the door alone: ``lockstep`` is
what the app installs, ``for_update`` locks the budget's row in both, ``check_then_add`` looks first and adds later,
``no_budget`` does nothing. ``alone`` writes the barest row of the ledger around the hooks, ``whole`` is the door's own
two functions. All commit alike: the reservation need not wait for the disk, the settlement does.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks import project
from benchmarks.budget_sql import ARMS, OVER, PAIRS, PRICE, RANDOM
from benchmarks.database import scratch_url
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import rotated

PEER = "for_update"
CLIENTS, ROUNDS, SECONDS, OPERATIONS = 8, 5, 4.0, 1_000_000
QUICK_ROUNDS, QUICK_SECONDS, QUICK_OPERATIONS = 2, 1.0, 4_000
FEATURE = "bench.hot"
CAP = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=CLIENTS, metavar="N", help=f"default: {CLIENTS}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each arm (default: {ROUNDS})")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"of one turn (default: {SECONDS:g})")
    parser.add_argument(
        "--operations",
        type=int,
        metavar="N",
        help=f"random ones before the drift check (default: {OPERATIONS:,})",
    )


def run(options: argparse.Namespace) -> Report:
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    operations = options.operations or (QUICK_OPERATIONS if options.quick else OPERATIONS)
    project.start(project.HASHING)
    with connect() as link:
        link.execute(PRICE)
        for statement in (*PAIRS, *RANDOM):
            link.execute(statement)
        pairs = throughput(link, options.clients, rounds, seconds)
        overshoot = {arm: capped(link, arm, options.clients, seconds) for arm in ARMS if arm != "no_budget"}
        drifted, done = drift(link, options.clients, operations)
    return report(options.clients, rounds, seconds, pairs, overshoot, drifted, done)


def connect() -> psycopg.Connection[Any]:
    return psycopg.connect(scratch_url(), autocommit=True)


def throughput(
    link: psycopg.Connection[Any], clients: int, rounds: int, seconds: float
) -> dict[str, dict[str, list[float]]]:
    """Pairs a second of each arm and scope, in turns; the arm that goes first rotates."""
    fresh_budget(link, 10**15)
    found: dict[str, dict[str, list[float]]] = {arm: {"alone": [], "whole": []} for arm in ARMS}
    for number in range(rounds):
        for scope in ("alone", "whole"):
            for arm in rotated(list(ARMS), number):
                install(link, arm)
                counts = together(clients, f"CALL bench_{scope}(%s, 0, 0)", seconds)
                found[arm][scope].append(sum(done for done, _ in counts) / seconds)
    return found


def capped(link: psycopg.Connection[Any], arm: str, clients: int, seconds: float) -> dict[str, int]:
    """A cap that is reached within the run, looked at all the time from the ledger alone.

    Returns: samples, the largest sum of spent and held, and by how much it is above the cap.
    """
    fresh_budget(link, CAP)
    install(link, arm)
    most, samples = 0, 0
    ended = threading.Event()

    def look() -> None:
        nonlocal most, samples
        with connect() as other:
            while not ended.is_set():
                most = max(most, int(other.execute(OVER, [FEATURE]).fetchone()[0]))  # type: ignore[index]
                samples += 1
                time.sleep(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        together(clients, "CALL bench_whole(%s, 0, 0)", seconds)
    finally:
        ended.set()
        watcher.join()
    return {"samples": samples, "most": most, "overshoot": max(0, most - CAP)}


def drift(link: psycopg.Connection[Any], clients: int, operations: int) -> tuple[int, int]:
    """Random operations on budgets of every kind, then each counter against the ledger. Returns: disagreeing ones,
    and operations done."""
    fresh_budget(link, CAP)
    install(link, "lockstep")
    link.execute("SELECT bench_budgets()")
    counts = together(clients, "CALL bench_random(%s, 0, 0)", -(-operations // clients))
    rows = link.execute("SELECT * FROM lockstep_budgets_drift_v1('-infinity')").fetchall()
    return sum(row[1] != row[2] or row[3] != row[4] for row in rows), sum(done for done, _ in counts)


def fresh_budget(link: psycopg.Connection[Any], cap: int) -> None:
    install(link, "lockstep")
    link.execute("TRUNCATE lockstep_budgets_budget, lockstep_llm_call, lockstep_budgets_hold CASCADE")
    link.execute(
        "INSERT INTO lockstep_budgets_budget (feature, per, who, period, time_zone, unit, currency, cap, soft_percent,"
        " bound, active) VALUES (%s, 'all', '', 'month', 'Europe/London', 'tokens', '', %s, 70, 'strict', true)",
        [FEATURE, cap],
    )


def install(link: psycopg.Connection[Any], arm: str) -> None:
    for statement in ARMS[arm]:
        link.execute(statement)


def together(clients: int, statement: str, argument: Any) -> list[tuple[int, int]]:
    """The same call from as many connections at once. Returns: (done, refused) of each."""
    found: list[tuple[int, int]] = []
    failed: list[BaseException] = []

    def one() -> None:
        try:
            with connect() as link:
                row = link.execute(statement, [argument]).fetchone()
                found.append((row[0], row[1]))  # type: ignore[index]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return found


def report(
    clients: int,
    rounds: int,
    seconds: float,
    pairs: dict[str, dict[str, list[float]]],
    overshoot: dict[str, dict[str, int]],
    drifted: int,
    operations: int,
) -> Report:
    def ratio(arm: str, scope: str) -> float:
        turns = zip(pairs[arm][scope], pairs[PEER][scope], strict=True)
        return statistics.median(mine / theirs for mine, theirs in turns)

    figure: Callable[[str, str], float] = lambda arm, scope: statistics.median(pairs[arm][scope])  # noqa: E731
    arms = {
        arm: {
            "alone_pairs_s": figure(arm, "alone"),
            "alone_ratio": ratio(arm, "alone"),
            "whole_pairs_s": figure(arm, "whole"),
            "whole_ratio": ratio(arm, "whole"),
            **overshoot.get(arm, {}),
        }
        for arm in pairs
    }
    return Report(
        benchmark="budget",
        columns=[
            Column("alone_pairs_s", "alone pairs/s", "{:,.0f}"),
            Column("alone_ratio", f"x {PEER}", "{:.2f}"),
            Column("whole_pairs_s", "whole pairs/s", "{:,.0f}"),
            Column("whole_ratio", f"x {PEER}", "{:.2f}"),
            Column("overshoot", f"above a cap of {CAP:,}", "{:,.0f}"),
        ],
        arms=arms,
        recipe={"clients": clients, "rounds": rounds, "seconds": seconds, "operations": operations},
        bars=[
            Bar(
                "lockstep / for_update, pairs a second, hooks alone",
                arms["lockstep"]["alone_ratio"],
                at_least=3,
            ),
            Bar(
                "lockstep, tokens above the cap in any sample", overshoot["lockstep"]["overshoot"], at_most=0
            ),
            Bar("counters that disagree with the ledger", drifted, at_most=0),
        ],
        notes=[f"{overshoot['lockstep']['samples']} samples of the cap; {operations:,} random operations"],
    )
