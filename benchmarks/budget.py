"""Reserving and settling on one hot budget: pairs a second beside SELECT FOR UPDATE, and whether the cap holds.

pgbench is the client, so that hardly anything but the database's work is measured: a reservation and a settlement are
a statement and a transaction each. The arms differ in the two hooks of the door alone: ``lockstep`` is what the app
installs, ``for_update`` locks the counter's row in both, ``no_budget`` does nothing, which is as fast as any could be;
``check_then_add`` looks first and adds what came back, and only races for the cap. ``whole`` calls the door's two
functions; ``hooks`` writes the barest row of the ledger around the two hooks; ``python`` calls the door's functions
from as many processes. All commit alike: the reservation need not wait for the disk, the settlement does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import project
from benchmarks.budget_sql import ARMS, BOUND, OVER, PAIRS, PRICE, RANDOM, SCRIPTS
from benchmarks.database import scratch_url
from benchmarks.exceptions import BenchmarkError
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import rotated
from tools.services.binaries import installed_server
from tools.services.exceptions import ServiceMissing

PEER = "for_update"
TIMED = (PEER, "lockstep", "no_budget")
RACING = (PEER, "lockstep", "check_then_add")
CLIENTS, ROUNDS, SECONDS, OPERATIONS = (1, 8, 32), 5, 4, 1_000_000
QUICK_ROUNDS, QUICK_SECONDS, QUICK_OPERATIONS = 1, 1, 4_000
RACERS = 8
"""Clients of the figure that has a bar, of the race for the cap and of the random operations."""
FEATURE = "bench.hot"
CAP = 20_000
PIECE = 2_000
"""Random operations of one statement."""
BOUNDLESS = 10**15
SCOPES = {"whole": "pairs_per_s", "hooks": "hooks_pairs_per_s", "python": "python_pairs_per_s"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each arm (default: {ROUNDS})")
    parser.add_argument("--seconds", type=int, metavar="S", help=f"of one turn (default: {SECONDS})")
    parser.add_argument(
        "--operations",
        type=int,
        metavar="N",
        help=f"random ones before the drift check (default: {OPERATIONS:,})",
    )
    parser.add_argument(
        "--seed", type=float, default=0.5, metavar="X", help="of these, -1 to 1 (default: .5)"
    )


def prepare(options: argparse.Namespace) -> None:
    pgbench()
    if not -1 <= options.seed <= 1:
        raise BenchmarkError("--seed is between -1 and 1, as Postgres takes it")


def run(options: argparse.Namespace) -> Report:
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    operations = options.operations or (QUICK_OPERATIONS if options.quick else OPERATIONS)
    project.start(project.HASHING)
    with connect() as link:
        link.execute(PRICE)
        for statement in (*PAIRS, *RANDOM):
            link.execute(statement)
        pairs = throughput(link, (RACERS,) if options.quick else CLIENTS, rounds, seconds)
        capped = {arm: race_for_the_cap(link, arm, seconds) for arm in RACING}
        drifted = drift(link, operations, options.seed)
    recipe = {"rounds": rounds, "seconds": seconds, "operations": operations, "seed": options.seed}
    return report(recipe, pairs, capped, drifted)


def connect() -> psycopg.Connection[Any]:
    return psycopg.connect(scratch_url(), autocommit=True)


def throughput(
    link: psycopg.Connection[Any], numbers: Sequence[int], rounds: int, seconds: int
) -> dict[tuple[str, int, str], list[float]]:
    """Pairs a second of each (scope, clients, arm), in turns; the arm that goes first rotates."""
    turns: list[tuple[str, int, Callable[[int, int], float]]] = [
        (scope, clients, lambda clients, seconds, scope=scope: by_pgbench(link, scope, clients, seconds))
        for scope in SCRIPTS
        for clients in numbers
    ]
    turns.append(("python", RACERS, lambda clients, seconds: by_python(link, clients, seconds)))
    found: dict[tuple[str, int, str], list[float]] = {}
    for number in range(rounds):
        for scope, clients, drive in turns:
            for arm in rotated(TIMED, number):
                fresh_budget(link, BOUNDLESS)
                install(link, arm)
                found.setdefault((scope, clients, arm), []).append(drive(clients, seconds))
    return found


def by_pgbench(link: psycopg.Connection[Any], scope: str, clients: int, seconds: int) -> float:
    """Pairs a second; what pgbench says it did must stand in the ledger."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPTS[scope])
        script.flush()
        command = [str(pgbench()), "--no-vacuum", "--protocol=prepared", f"--client={clients}",
            f"--jobs={min(clients, 2)}", f"--time={seconds}", f"--file={script.name}", scratch_url()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = re.search(r"actually processed: (\d+)", done.stdout), re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or told[0] is None or told[1] is None:
        raise BenchmarkError(f"pgbench failed: {done.stderr.strip()[-2000:]}")
    if int(told[0][1]) != settled(link):
        raise BenchmarkError(f"pgbench made {told[0][1]} pairs, the ledger has {settled(link)}")
    return float(told[1][1])


def by_python(link: psycopg.Connection[Any], clients: int, seconds: int) -> float:
    """The same from Python processes, through the functions that the door itself calls."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["django.db.backends.postgresql.base", "psycopg", "lockstep.llm.ledger"])
    ready = context.Barrier(clients)
    processes = [context.Process(target=work, args=(ready, seconds)) for _ in range(clients)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise BenchmarkError("a client process failed: see above")
    return settled(link) / seconds


def work(ready: Any, seconds: int) -> None:
    import django

    django.setup()
    from lockstep.core.ids import new_id
    from lockstep.llm.ledger import Asked, Told, Usage, begin, end

    def pair() -> None:
        call = new_id()
        asked = Asked(
            id=call, invocation=call, attempt=1, operation="chat", provider="bench", model="m", priced_as="m",
            endpoint="http://127.0.0.1/v1", bound_input=BOUND - 100, bound_output=100, feature=FEATURE,
        )  # fmt: skip
        if begin(asked).refused is None:
            end(Told(call, "ok", "usage", Usage(160, 10)), asked)

    pair()
    ready.wait()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pair()


def race_for_the_cap(link: psycopg.Connection[Any], arm: str, seconds: int) -> dict[str, int]:
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
                time.sleep(0.002)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        race(seconds)
    finally:
        ended.set()
        watcher.join()
    return {"samples": samples, "most": most, "overshoot": max(0, most - CAP)}


def race(seconds: int) -> None:
    """As many clients as can: whoever is refused tries again."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPTS["whole"])
        script.flush()
        subprocess.run(
            [str(pgbench()), "--no-vacuum", "--protocol=prepared", f"--client={RACERS}", "--jobs=2",
             f"--time={seconds}", f"--file={script.name}", scratch_url()], capture_output=True, check=True,
        )  # fmt: skip


def drift(link: psycopg.Connection[Any], operations: int, seed: float) -> int:
    """Random operations on budgets of every kind, then each counter against the ledger. Returns: disagreeing ones."""
    fresh_budget(link, CAP)
    install(link, "lockstep")
    link.execute("SELECT bench_budgets()")
    together(
        [
            lambda other, number=number: work_at_random(other, number, operations, seed)
            for number in range(RACERS)
        ]
    )
    rows = link.execute("SELECT * FROM lockstep_budgets_drift_v1('-infinity')").fetchall()
    return sum(row[1] != row[2] or row[3] != row[4] for row in rows)


def work_at_random(link: psycopg.Connection[Any], number: int, operations: int, seed: float) -> None:
    """The share of one client, in pieces: within a statement the server counts no dead rows, and vacuums none."""
    pieces = -(-operations // (RACERS * PIECE))
    for piece in range(pieces):
        sown = seed * (1 + number * pieces + piece) / (RACERS * pieces)
        link.execute("CALL bench_random(%s, %s, 0, 0)", [-(-operations // (RACERS * pieces)), sown])


def fresh_budget(link: psycopg.Connection[Any], cap: int) -> None:
    """One budget and an empty ledger."""
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


def settled(link: psycopg.Connection[Any]) -> int:
    row = link.execute("SELECT count(*) FROM lockstep_llm_call WHERE state = 'settled'").fetchone()
    return int(row[0])  # type: ignore[index]


def together(clients: Sequence[Callable[[psycopg.Connection[Any]], None]]) -> None:
    """Each with a connection of its own, at once."""
    failed: list[BaseException] = []

    def one(client: Callable[[psycopg.Connection[Any]], None]) -> None:
        try:
            with connect() as link:
                client(link)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def pgbench() -> Path:
    """That of the wheel, which fits its server, or the one on PATH.

    Raises:
        BenchmarkError: there is none.
    """
    try:
        return installed_server() / "bin" / "pgbench"
    except ServiceMissing:
        found = shutil.which("pgbench")
        if found is None:
            raise BenchmarkError(
                "pgbench is not on PATH: it comes with PostgreSQL's server package"
            ) from None
        return Path(found)


def report(
    recipe: dict[str, Any],
    pairs: dict[tuple[str, int, str], list[float]],
    capped: dict[str, dict[str, int]],
    drifted: int,
) -> Report:
    arms: dict[str, dict[str, Any]] = {arm: {**capped.get(arm, {})} for arm in ARMS}
    for (scope, clients, arm), turns in pairs.items():
        theirs = pairs[scope, clients, PEER]
        key = SCOPES[scope]
        arms[arm].setdefault(str(clients), {}).update({
            key: statistics.median(turns),
            key.replace("pairs_per_s", "ratio"): statistics.median(
                mine / peer for mine, peer in zip(turns, theirs, strict=True)
            ),
        })  # fmt: skip
    ours = arms["lockstep"]
    return Report(
        benchmark="budget",
        columns=[
            *(Column(f"{clients}/pairs_per_s", f"whole, {clients}", "{:,.0f}") for clients in CLIENTS),
            Column(f"{RACERS}/ratio", f"x {PEER}", "{:.2f}"),
            *(Column(f"{clients}/hooks_pairs_per_s", f"hooks, {clients}", "{:,.0f}") for clients in CLIENTS),
            Column(f"{RACERS}/hooks_ratio", f"x {PEER}", "{:.2f}"),
            Column(f"{RACERS}/python_pairs_per_s", f"python, {RACERS}", "{:,.0f}"),
            Column(f"{RACERS}/python_ratio", f"x {PEER}", "{:.2f}"),
            Column("overshoot", f"above a cap of {CAP:,}", "{:,.0f}"),
        ],
        arms=arms,
        recipe=recipe,
        bars=[
            Bar(
                f"pairs a second, {RACERS} clients, lockstep / {PEER}", ours[str(RACERS)]["ratio"], at_least=3
            ),
            Bar(f"the same, hooks alone, lockstep / {PEER}", ours[str(RACERS)]["hooks_ratio"], at_least=3),
            Bar("lockstep, tokens above the cap in any sample", ours["overshoot"], at_most=0),
            Bar("counters that disagree with the ledger", drifted, at_most=0),
        ],
        notes=[f"{ours['samples']} samples of the cap; {recipe['operations']:,} random operations"],
        extra={"overshoot": ours["overshoot"], "drift": drifted},
    )
