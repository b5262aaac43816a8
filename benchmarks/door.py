"""What a call through the door costs the caller, beside the bare openai SDK, LangChain and LiteLLM.

The model is a local HTTP server in a process of its own that gives the same answer at once, so that nothing but the
client's work is left. Each arm is a process too; they take turns, and the one that goes first rotates.
Processor time is that of all threads of the arm's process. After each call of the lockstep arm another connection
looks whether the settled row is there; one that is not ends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks import project
from benchmarks.chat_api import serving
from benchmarks.door_arms import ARMS, MODEL, PROMPT, URL
from benchmarks.exceptions import Absent, BenchmarkError
from benchmarks.metrics import percentile
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import rotated

CALLS, QUICK_CALLS = 600, 100
PEER = "raw_openai"
OURS = ("lockstep", "lockstep_ledger", "lockstep_prompt")
ROOT = Path(__file__).resolve().parents[1]
LITELLM = ROOT / ".lockstep" / "litellm"
"""Environment of its own: LiteLLM wants older versions of openai and huggingface-hub than everything else here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, metavar="N", help=f"calls of each arm (default: {CALLS})")
    parser.add_argument(
        "--burst", type=int, default=1, metavar="N", help="calls of an arm in a row (default: 1)"
    )
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), metavar="ARM", help="default: all")


def run(options: argparse.Namespace) -> Report:
    calls = options.calls or (QUICK_CALLS if options.quick else CALLS)
    arms = [name for name in ARMS if name in {PEER, *(options.arms or ARMS)}]
    skipped: dict[str, str] = {}
    with serving() as url, ExitStack() as stack:
        prepare_project(url)
        workers = {}
        for name in arms:
            try:
                workers[name] = stack.enter_context(worker(name, url))
            except Absent as error:
                skipped[name] = str(error)
        facts = {name: answer(process, name) for name, process in workers.items()}
        turns = measure(workers, -(-calls // options.burst), options.burst)
    return report(calls, options.burst, turns, facts, skipped)


def prepare_project(url: str) -> None:
    """Tables, one provider at the local server, a price for its model, budgets of the day, partitions for what is kept,
    and a prompt whose two arms are released."""
    local = {"BACKEND": "lockstep.llm.providers.openai.OpenAI", "OPTIONS": {"base_url": url}}
    project.start(project.HASHING, {"providers": {"local": local}, "currency": "USD"})
    from django.core.management import call_command

    from lockstep.llm.models import Price

    Price.objects.create(
        provider="local", model=MODEL, source="tariff", currency="USD", input=Decimal("0.25"),
        output=Decimal(2), cache_read=Decimal("0.025"), valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    for feature in ("bench.support", "bench.prompted"):
        call_command("lockstep_budgets", "set", feature, "1000000", "--period", "day")
    call_command("lockstep_retention", "purge")
    release_prompt()


def release_prompt() -> None:
    """The words of ``door_arms.MESSAGES`` with two holes; half of the people get them with another full stop."""
    from lockstep.prompts.arms import Arm
    from lockstep.prompts.body import Body, Message
    from lockstep.prompts.models import PromptVersion
    from lockstep.prompts.releases import release

    arms = []
    for name, ending in (("a", "."), ("b", "!")):
        system = Message("system", f"Answer from these passages only{ending}\n\n{{passages}}")
        body = Body((system, Message("user", "{question}")), variables=("passages", "question"))
        arms.append(Arm(name, PromptVersion.objects.add(PROMPT, body)[0].key, 50))
    release(PROMPT, arms, actor="bench", reason="half and half")


@contextmanager
def worker(name: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """The process of an arm.

    Raises:
        Absent: its library is not installed.
    """
    command = [str(interpreter(name)), "-m", "benchmarks.door_arms", name]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")} | {
        URL: url
    }
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def interpreter(name: str) -> Path:
    if name != "litellm":
        return Path(sys.executable)
    python = LITELLM / "bin" / "python"
    if not python.exists():
        raise Absent(
            "LiteLLM needs an environment of its own: python3 -m venv .lockstep/litellm &&"
            " .lockstep/litellm/bin/pip install --no-deps -r requirements/litellm.txt"
        )
    return python


def answer(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError(f"the arm {name} failed; its message is above")
    found: dict[str, Any] = json.loads(line)
    return found


def measure(
    workers: dict[str, subprocess.Popen[str]], rounds: int, burst: int
) -> dict[str, list[dict[str, Any]]]:
    """``rounds`` turns of each arm, one at a time."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for number in range(rounds):
        for name in rotated(list(workers), number):
            process = workers[name]
            assert process.stdin is not None
            process.stdin.write(f"{burst}\n")
            process.stdin.flush()
            turns[name].append(answer(process, name))
    return turns


def report(
    calls: int,
    burst: int,
    turns: dict[str, list[dict[str, Any]]],
    facts: dict[str, dict[str, Any]],
    skipped: dict[str, str],
) -> Report:
    """Ratios are medians of ratios to the bare SDK in the same round, so that a slow minute hits both sides."""
    arms = {name: figures(found, turns[PEER]) | facts[name] for name, found in turns.items()}
    ratio = {name: arm["cpu_ratio"] for name, arm in arms.items()}
    bars, notes = [], []
    ours = [name for name in arms if name in OURS]
    if ours:
        seen = len(ours) * len(turns[PEER]) * burst
        notes.append(
            f"settled row visible to another connection when invoke returned: {seen} of {seen} calls"
        )
    if "lockstep" in arms:
        bars.append(Bar("lockstep / raw_openai, processor time", ratio["lockstep"], at_most=1.9))
    bars += [
        Bar(f"{name}: round trips to PostgreSQL a call", arms[name]["round_trips"], at_most=2)
        for name in ours
    ]
    if {"lockstep", "litellm"} <= set(arms):
        bars.append(
            Bar("lockstep / litellm, processor time", ratio["lockstep"] / ratio["litellm"], at_most=1)
        )
    return Report(
        benchmark="door",
        columns=[
            Column("cpu_ms", "cpu ms", "{:.2f}"),
            Column("cpu_ratio", "cpu ratio", "{:.2f}"),
            Column("p50_ms", "wall p50 ms", "{:.2f}"),
            Column("p95_ms", "p95 ms", "{:.2f}"),
            Column("wall_ratio", "wall ratio", "{:.2f}"),
        ],
        arms=arms,
        recipe={"calls": calls, "burst": burst},
        skipped=skipped,
        bars=bars,
        notes=notes,
    )


def figures(turns: list[dict[str, Any]], peer: list[dict[str, Any]]) -> dict[str, float]:
    walls = [wall for turn in turns for wall in turn["wall_ms"]]
    return {
        "cpu_ms": statistics.median(turn["cpu_ms"] for turn in turns),
        "cpu_ratio": statistics.median(
            mine["cpu_ms"] / theirs["cpu_ms"] for mine, theirs in zip(turns, peer, strict=True)
        ),
        "p50_ms": percentile(walls, 50),
        "p95_ms": percentile(walls, 95),
        "wall_ratio": statistics.median(
            statistics.median(mine["wall_ms"]) / statistics.median(theirs["wall_ms"])
            for mine, theirs in zip(turns, peer, strict=True)
        ),
    }
