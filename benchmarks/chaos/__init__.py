"""Workers are killed at random while they work: is a run lost, an effect doubled, or written by whoever has lost it?

Real Celery workers over a real Redis take runs of three shapes (a line, branches side by side, a subgraph and Sends).
Each node has one effect at an HTTP server in a process of its own, which books what it does; what is said of effects
here is read from that book. Most blows kill one process of a pool in the middle of a node, one of twenty a whole worker
beside others that are warm. In a second part as many processes are stopped until their run has another owner, and
then wake up. What was done at most once and nobody knows the outcome of waits for a person, whose part is played here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import project
from benchmarks.database import scratch_url
from benchmarks.metrics import percentile
from benchmarks.report import Bar, Column, Report

KILLS, QUICK_KILLS = 1000, 25
LEAST_HUNG = 2
SHARE = 20
"""One blow of so many hits a whole worker, or lets a process hang."""
LEASE_S = 2.0
"""Of the workers that hang: the others keep the default."""
BAR_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, metavar="N", help=f"default: {KILLS}")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of who is hit when")


def run(options: argparse.Namespace) -> Report:
    from benchmarks.chaos import places
    from benchmarks.chaos.part import Part
    from benchmarks.chaos.plan import plan

    kills = options.kills or (QUICK_KILLS if options.quick else KILLS)
    share = -(-kills // SHARE)
    project.start(project.HASHING)
    from benchmarks.chaos.graphs import EFFECTS

    blows = plan(kills, share, max(share, LEAST_HUNG), options.seed)
    began, waited = time.monotonic(), waited_s()
    parts = []
    with (
        tempfile.TemporaryDirectory(prefix="lockstep-chaos-") as name,
        places.redis(),
        places.outside(Path(name)) as book,
    ):
        for number, (falling, lease) in enumerate(zip(blows, (None, LEASE_S), strict=True)):
            with places.workers(Path(name) / f"part-{number}", lease) as workers:
                calm = Part(workers, book, [])
                calm.undisturbed(list(EFFECTS))
                part = Part(workers, book, falling)
                part.play()
                parts.append((calm, part))
        list(book.new())
        seconds = time.monotonic() - began
        return report(options, kills, parts, book.all, seconds, (waited_s() - waited) / seconds)


def waited_s() -> float:
    """For how long some process of this machine has had to wait for a processor; nan where nobody counts it."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split()[4].removeprefix("total=")) / 1e6
    except OSError:
        return float("nan")


def report(
    options: argparse.Namespace,
    kills: int,
    parts: Sequence[tuple[Any, Any]],
    book: Any,
    seconds: float,
    pressure: float,
) -> Report:
    from benchmarks.chaos import oracle
    from benchmarks.chaos.plan import PHASES
    from lockstep.workflows.models import Run

    runs = {run: shape for _, part in parts for run, shape in part.runs.items()}
    fault_free = {shape: Run.objects.get(pk=run).result for run, shape in parts[0][0].runs.items()}
    rows = {str(row.pk): row for row in Run.objects.filter(pk__in=runs)}
    ended = {run: (row.status, row.result) for run, row in rows.items()}
    booked = oracle.bookings(book)
    lost = oracle.lost(runs, ended, fault_free, booked)
    doubled = oracle.doubled_effects(booked)
    with psycopg.connect(scratch_url(), autocommit=True) as link:
        stale, shared = oracle.stale_writes(link), oracle.two_owners(link)
    hits = [hit for _, part in parts for hit in part.hits]
    marks = [mark for _, part in parts for mark in part.workers.marks.all]
    arms = {kind: figures([hit for hit in hits if hit.kind == kind]) for kind in ("child", "tree", "hung")}
    killed = [s for hit in hits if hit.kind != "hung" for s in hit.takeovers_s]
    answers = sum((part.answered for _, part in parts), Counter[str]())
    phases = {kind: dict(Counter(PHASES[hit.phase] for hit in hits if hit.kind == kind)) for kind in arms}
    again = oracle.begun_again(marks, hits)
    return Report(
        "chaos",
        [
            Column("blows", "blows", "{:,}"),
            Column("owned", "runs owned", "{:,}"),
            Column("takeover_p50_s", "takeover p50 s", "{:.2f}"),
            Column("takeover_p95_s", "p95 s", "{:.2f}"),
            Column("takeover_max_s", "max s", "{:.2f}"),
        ],
        arms,
        recipe={"kills": kills, "seed": options.seed, "lease_s_of_the_hung": LEASE_S},
        bars=[
            Bar("runs lost", len(lost), at_most=0),
            Bar("effects doubled", doubled, at_most=0),
            Bar("stale writes", stale, at_most=0),
            Bar("epochs with two owners", shared, at_most=0),
            Bar("takeover after a kill, p95 s", percentile(killed, 95), at_most=BAR_S),
            Bar("takeover from the hung, p95 s", arms["hung"]["takeover_p95_s"], at_most=LEASE_S + BAR_S),
            Bar("whole workers killed", arms["tree"]["blows"], at_least=kills / SHARE),
        ],
        notes=[
            f"{len(runs):,} runs, {sum(booked.values()):,} effects in {seconds:.0f} s; of {sum(answers.values())} calls"
            f" at most once nobody knew the outcome: {answers['done']} were done, {answers['not_done']} were not",
            *(f"hit {kind}: {told(counted)}" for kind, counted in phases.items()),
            f"nodes begun again after a blow: {told(again)}",
            *(
                f"lost: {run} ({why}) {rows[run].reason} {rows[run].error}"
                for run, why in list(lost.items())[:10]
                if run in rows
            ),
            f"for {pressure:.0%} of the time some process waited for a processor",
            "stream_errors is null: there are no streams yet",
        ],
        extra={
            "kills": arms["child"]["blows"] + arms["tree"]["blows"],
            "lost": len(lost),
            "doubled_effects": doubled,
            "stale_writes": stale,
            "stream_errors": None,
            "takeover_p50_s": percentile(killed, 50),
            "takeover_p95_s": percentile(killed, 95),
            "two_owners": shared,
            "runs": len(runs),
            "runs_by_shape": dict(Counter(runs.values())),
            "effects": sum(booked.values()),
            "requests": sum(mark.moment == "asked" for mark in book),
            "unknown_outcomes": dict(answers),
            "phases": phases,
            "begun_again": dict(again),
            "cpu_pressure": pressure,
        },
    )


def figures(hits: Sequence[Any]) -> dict[str, Any]:
    times = [seconds for hit in hits for seconds in hit.takeovers_s]
    return {
        "blows": len(hits),
        "owned": sum(len(hit.owned) for hit in hits),
        "takeover_p50_s": percentile(times, 50),
        "takeover_p95_s": percentile(times, 95),
        "takeover_max_s": max(times, default=float("nan")),
    }


def told(counted: Counter[str] | dict[str, int]) -> str:
    return (
        ", ".join(f"{count} {what}" for what, count in sorted(counted.items(), key=lambda one: -one[1]))
        or "none"
    )
