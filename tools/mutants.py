"""``bin/test --mutants``: break each promise on purpose and see its test turn red. See tests/mutants/README.md."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[1]
MUTANTS = CHECKOUT / "tests" / "mutants"

TEST_TIMEOUT_S = 300.0

AT_ONCE = 2
"""Test runs side by side, each with a database of its own."""

DATABASE = os.environ.get("LOCKSTEP_TEST_DATABASE", "test_lockstep") + "_mutants"

NOT_THE_PRODUCT = re.compile(r"^(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError)\b")
"""Failures by which a mutant shows that it is no working program, not that a test has caught it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One patch file."""

    name: str
    promise: str
    tests: tuple[str, ...]
    patch: Path


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant."""

    mutant: Mutant
    status: str
    """``caught``, ``survived``, ``broken`` (proves nothing), ``stale`` (does not apply) or ``not run``."""
    detail: str
    seconds: float


class Unreadable(Exception):
    """A patch file without the header that tests/mutants/README.md describes."""


class Stale(Exception):
    """A patch that does not apply to the code as it is."""


def read(patch: Path) -> Mutant:
    """Read the header of a patch file.

    Raises:
        Unreadable: ``promise:`` or ``test:`` is missing.
    """
    header = patch.read_text().split("\n--- ", 1)[0]
    fields = re.findall(r"^(promise|test): *(\S.*?) *$", header, re.MULTILINE)
    promises = [value for key, value in fields if key == "promise"]
    tests = tuple(value for key, value in fields if key == "test")
    if len(promises) != 1 or not tests:
        raise Unreadable(f"{patch.name}: needs one line 'promise: N' and at least one 'test: path::name'")
    return Mutant(patch.stem, promises[0], tests, patch)


@contextmanager
def copy_of_source(patch: Path | None) -> Iterator[Path]:
    """A copy of ``src`` with ``patch`` applied.

    Raises:
        Stale: it does not apply, or changes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="lockstep-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(CHECKOUT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        if patch:
            before = snapshot(source)
            # the ceiling keeps git from applying it to a repository further up
            applied = subprocess.run(
                ["git", "apply", str(patch)],
                cwd=folder,
                env=os.environ | {"GIT_CEILING_DIRECTORIES": str(Path(folder).parent)},
                capture_output=True,
                text=True,
                check=False,
            )
            if applied.returncode != 0 or snapshot(source) == before:
                raise Stale(applied.stderr.strip() or "it changes nothing under src")
        yield source


def snapshot(folder: Path) -> dict[Path, bytes]:
    """Every file's content."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test case did: ``passed``, ``failed``, ``error`` (around the test) or ``skipped``."""

    node: str
    status: str
    message: str


def run_tests(tests: Sequence[str], source: Path, database: str) -> list[Outcome]:
    """Run pytest on ``tests`` with the package imported from ``source``.

    Raises:
        TimeoutError: it did not end in time and was killed.
    """
    report = source.parent / "report.xml"
    # pytest puts these before PYTHONPATH, and splits them like a shell's words
    paths = f"pythonpath={shlex.quote(str(source))} ."
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", paths]
    environment = os.environ | {
        # before the editable install, also in processes that a test starts
        "PYTHONPATH": str(source),
        "LOCKSTEP_TEST_DATABASE": database,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            [*command, f"--junitxml={report}", *tests],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TEST_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not finished after {TEST_TIMEOUT_S:.0f} s") from error
    if not report.exists():
        return [Outcome("", "error", ((done.stdout + done.stderr).strip().splitlines() or ["no output"])[-1])]
    return outcomes(report)


def outcomes(report: Path) -> list[Outcome]:
    """Read pytest's JUnit file."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        node = f"{case.get('classname', '')}::{case.get('name', '')}"
        status, message = "passed", ""
        for tag, name in (("skipped", "skipped"), ("failure", "failed"), ("error", "error")):
            element = case.find(tag)
            if element is not None:
                status, message = name, element.get("message") or (element.text or "")
        found.append(Outcome(node, status, message.strip().removeprefix("E   ")))
    return found


def of_test(test: str, found: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of one ``path::[Class::]name`` and of its parameters."""
    path, *names = test.split("::")
    wanted = "::".join([".".join([path.removesuffix(".py").replace("/", "."), *names[:-1]]), names[-1]])
    return [one for one in found if one.node == wanted or one.node.startswith(wanted + "[")]


def judge(mutant: Mutant, found: Sequence[Outcome]) -> tuple[str, str]:
    """Status and detail of a mutant whose tests have run."""
    for outcome in found:
        if outcome.status == "error":
            return "broken", f"no test ran: {first_line(outcome.message)}"
        if outcome.status == "failed" and NOT_THE_PRODUCT.match(outcome.message):
            return "broken", f"not a working program: {first_line(outcome.message)}"
    for test in mutant.tests:
        cases = of_test(test, found)
        if not any(case.status == "failed" for case in cases):
            return "survived", f"{test} {'stays green' if cases else 'did not run'}"
    return "caught", first_line(next(one.message for one in found if one.status == "failed"))


def first_line(text: str) -> str:
    """Enough of a message for a table."""
    return (text.strip().splitlines() or [""])[0][:110]


def baseline(mutants: Sequence[Mutant]) -> dict[str, str]:
    """Run every named test once on the code as it is; the reason for each that is not green."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with copy_of_source(None) as source:
        found = run_tests(tests, source, DATABASE)
    reasons = {}
    for test in tests:
        cases = of_test(test, found)
        bad = [case for case in cases if case.status != "passed"]
        if not cases:
            reasons[test] = "error: no such test" + "".join(
                f": {one.message}" for one in found if not one.node
            )
        elif bad:
            reasons[test] = f"{bad[0].status}: {first_line(bad[0].message)}"
    return reasons


def try_mutant(mutant: Mutant, databases: SimpleQueue[str]) -> Result:
    """Apply it, run its tests and judge."""
    started = time.monotonic()
    database = databases.get()
    try:
        with copy_of_source(mutant.patch) as source:
            status, detail = judge(mutant, run_tests(mutant.tests, source, database))
    except Stale as error:
        status, detail = "stale", first_line(str(error))
    except TimeoutError as error:
        status, detail = "survived", str(error)
    finally:
        databases.put(database)
    return Result(mutant, status, detail, time.monotonic() - started)


def run_all(mutants: Sequence[Mutant]) -> Iterator[Result]:
    """Baseline first; then the mutants of tests that are green, in the order given."""
    reasons = baseline(mutants)
    ready = []
    for mutant in mutants:
        reason = next((reasons[test] for test in mutant.tests if test in reasons), None)
        if reason is None:
            ready.append(mutant)
        else:
            status = "not run" if reason.startswith("skipped") else "broken"
            yield Result(mutant, status, f"without the mutant: {reason}", 0.0)
    databases: SimpleQueue[str] = SimpleQueue()
    for number in range(AT_ONCE):
        databases.put(f"{DATABASE}_{number}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda mutant: try_mutant(mutant, databases), ready)


def report(results: Iterator[Result]) -> int:
    """Print each result as it comes and the closing line; 1 when one was neither caught nor skipped."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
        mutant = result.mutant
        print(
            f"{result.status:9} promise {mutant.promise:3} {mutant.name:45} {result.seconds:5.1f} s  {result.detail}",
            flush=True,
        )
    if counts.get("not run"):
        print(f"{counts['not run']} not run, because the test is skipped on this machine")
    bad = {status: count for status, count in counts.items() if status in ("broken", "stale")}
    if bad:
        print(", ".join(f"{count} {status}" for status, count in bad.items()))
    print(f"{counts.get('caught', 0)} caught, {counts.get('survived', 0)} survived")
    return 1 if bad or counts.get("survived") else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every chosen mutant was caught."""
    parser = argparse.ArgumentParser(prog="bin/test --mutants", description=__doc__)
    parser.add_argument("name", nargs="*", help="only mutants with one of these in their name")
    chosen = parser.parse_args(arguments).name
    try:
        mutants = [read(patch) for patch in sorted(MUTANTS.glob("*.patch"))]
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    mutants = [one for one in mutants if not chosen or any(part in one.name for part in chosen)]
    if not mutants:
        print(f"no mutants{' of that name' if chosen else ''} in tests/mutants", file=sys.stderr)
        return 2
    return report(run_all(mutants))


if __name__ == "__main__":
    sys.exit(main())
