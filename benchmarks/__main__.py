"""``python -m benchmarks NAME [options] [--json FILE] [--quick]``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks import database, machine
from benchmarks.exceptions import BenchmarkError
from benchmarks.paths import called_from
from benchmarks.report import Report

BENCHMARKS = {
    "retrieval": "quality of each leg and each fusion on a labelled collection",
    "search-latency": "one hybrid statement beside the naive three queries and the usual libraries",
    "ingest": "rows a second of each way to write, with an embedding API of 50 ms a call",
    "freshness": "stale vectors served while writers and the follower are killed at random",
    "budget": "reservations on one hot budget beside SELECT FOR UPDATE, and whether the cap holds",
    "chaos": "runs lost, effects doubled and time to take over while workers are killed at random",
    "engine": "transitions a second of durable runs beside LangGraph's PostgresSaver",
    "retention": "what it costs that the database hides what has expired",
    "door": "what a call through the door costs beside the bare SDK, LangChain and LiteLLM",
    "redaction": "what is found of labelled personal data, and characters a second beside Presidio",
}
"""Name -> one line of help. Its module has ``add_arguments(parser)`` and ``run(options) -> Report``."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.benchmark is None:
        print(listing(), end="")
        return 0
    try:
        report = measure(options)
    except BenchmarkError as error:
        print(f"bench {options.benchmark}: {error}", file=sys.stderr)
        return 2
    print(report, end="")
    if options.json:
        report.write(options.json)
    return 0


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="bench", description="Figures with their recipe; see benchmarks/README.md."
    )
    names = root.add_subparsers(dest="benchmark", metavar="NAME")
    for name, purpose in BENCHMARKS.items():
        one = names.add_parser(name, help=purpose, description=module(name).__doc__)
        one.formatter_class = argparse.RawDescriptionHelpFormatter
        module(name).add_arguments(one)
        one.add_argument("--quick", action="store_true", help="a smaller run that ends within a minute")
        one.add_argument(
            "--json", type=_writable, metavar="FILE", help="also write the figures there, as JSON"
        )
    return root


def listing() -> str:
    rows = [["benchmark", "what it measures"], *([name, purpose] for name, purpose in BENCHMARKS.items())]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {purpose}" for name, purpose in rows) + "\n"


def measure(options: argparse.Namespace) -> Report:
    """Run one benchmark in a database of its own."""
    chosen = module(options.benchmark)
    prepare = getattr(chosen, "prepare", None)
    if prepare is not None:
        # what can fail on a wrong argument comes before the seconds that a database takes
        prepare(options)
    with database.scratch(options.benchmark):
        try:
            report: Report = chosen.run(options)
            report.machine = machine.describe()
        finally:
            _close_connections()
    return report


def module(name: str) -> ModuleType:
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()


def _writable(value: str) -> Path:
    path = called_from(value)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{value} cannot be written: name a file in an existing folder")
    return path


if __name__ == "__main__":
    sys.exit(main())
