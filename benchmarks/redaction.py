"""What redaction finds, what it takes for a finding and is none, and how fast it is beside Presidio.

Texts with labelled personal data; each type by itself and all that have a checkable pattern together. Speed is that of
the whole way from a text to the copy that may be kept, Presidio's only that of finding; they take turns text by text.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import known_people, project
from benchmarks.exceptions import Absent
from benchmarks.labelled import Tally, Text, load, score, uncovered
from benchmarks.paths import called_from
from benchmarks.report import Bar, Column, Report, aligned
from benchmarks.rounds import Timed, interleave

FEATURE = "bench.redaction"
ROUNDS, QUICK_ROUNDS, QUICK_TEXTS = 7, 3, 120
BLOCK = 10_000
"""Characters of the long texts, which are the file's in a row."""
HOSTILE = {
    "digits": "1", "digits_apart": "1 ", "letters_and_digits": "a1", "at_signs": "a.a@a.", "quotes": "a'",
    "schemes": "http://", "logins": "a://a:", "keys": "sk-",
    "plus": "+1(", "brackets": "(0", "hex": "0a:", "labels": "phone 12 ",
    "zero_width": "1\u200b", "chained": "+4930901820",
}  # fmt: skip
SHORTEST = 8_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=called_from,
        required=True,
        metavar="FILE",
        help="lines of _id, text, spans[start, end, type]",
    )


def prepare(options: argparse.Namespace) -> None:
    options.texts = load(options.data)


def run(options: argparse.Namespace) -> Report:
    project.start(project.HASHING)
    from lockstep.core.features import declare

    declare(FEATURE, owner="bench")
    texts: list[Text] = options.texts
    tallies = score(texts, [findings(text.text) for text in texts])
    skipped: dict[str, str] = {}
    arms, ratio = speed(texts, skipped, quick=options.quick)
    growth = {name: linear(piece) for name, piece in HOSTILE.items()}
    terms, missing = known_people.measure(1_000 if options.quick else 10_000)
    return report(options.data, texts, tallies, arms, ratio, growth, terms, skipped | missing)


def findings(text: str) -> list[Any]:
    """What the pack finds, by positions of the text as it is."""
    from lockstep.privacy.detectors.pack import Pack
    from lockstep.privacy.normalise import normalise
    from lockstep.privacy.scanning import Scanner, originals

    whole = normalise(text)
    (spans,) = Scanner([Pack()], timeout_s=1).spans([whole.text])
    return originals(whole, spans, 0)


def speed(
    texts: Sequence[Text], skipped: dict[str, str], *, quick: bool
) -> tuple[dict[str, dict[str, Any]], float | None]:
    """Characters a second of each arm, and how many times Presidio's ours is, on the texts as they are."""
    calls = {"lockstep": lockstep()}
    try:
        calls["presidio"] = presidio()
    except Absent as error:
        skipped["presidio"] = str(error)
    short = [text.text for text in texts][: QUICK_TEXTS if quick else None]
    joined = "\n".join(short)
    long = [joined[at : at + BLOCK] for at in range(0, len(joined), BLOCK)][: 2 if quick else 10]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    one, many = (interleave(calls, some, rounds=rounds, warmup=2) for some in (short, long))
    arms = {
        name: {
            "chars_per_s": rate(short, one[name]),
            "chars_per_s_long": rate(long, many[name]),
            **one[name].latency(),
        }
        for name in calls
    }
    if "presidio" not in arms:
        return arms, None
    return arms, arms["lockstep"]["chars_per_s"] / arms["presidio"]["chars_per_s"]


def rate(texts: Sequence[str], timed: Timed[Any]) -> float:
    """Characters a second, of each text its quickest round: what a shared machine takes away is nobody's work."""
    rounds = [timed.times_ms[at : at + len(texts)] for at in range(0, len(timed.times_ms), len(texts))]
    return sum(map(len, texts)) / sum(map(min, zip(*rounds, strict=True))) * 1000


def lockstep() -> Callable[[str], Any]:
    from lockstep.privacy.redaction import redact

    return lambda text: redact(FEATURE, text)


def presidio() -> Callable[[str], Any]:
    """Its predefined English recognisers over a blank pipeline, without a model of names.

    Raises:
        Absent: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from lockstep.privacy.detectors.presidio import Presidio

            engine = Presidio().engine
    except ImportError as error:
        raise Absent(
            f"presidio-analyzer is not installed ({error.name} is missing): pip install -r requirements/bench.txt"
        ) from None
    return lambda text: engine.analyze(text, language="en")


def linear(piece: str) -> dict[str, float]:
    """How much longer 2 and 4 times a hostile text take."""
    from lockstep.privacy.redaction import redact

    def seconds(times: int) -> float:
        text = piece * (times * SHORTEST // len(piece))
        times: list[float] = []
        while len(times) < 3 or (len(times) < 25 and sum(times) < 0.3):
            started = time.thread_time()  # what this thread worked, not what others had of the processor
            redact(FEATURE, text)
            times.append(time.thread_time() - started)
        return min(times)

    once, twice, four = (seconds(times) for times in (1, 2, 4))
    return {"ms": once * 1000, "ratio_2n": twice / once, "ratio_4n": four / once}


def report(
    data: Path,
    texts: Sequence[Text],
    tallies: dict[str, Tally],
    arms: dict[str, dict[str, Any]],
    ratio: float | None,
    growth: dict[str, dict[str, float]],
    terms: dict[str, Any],
    skipped: dict[str, str],
) -> Report:
    total = Tally()
    for tally in tallies.values():
        total += tally
    structured, worst = total.figures(), max(one["ratio_4n"] for one in growth.values())
    bars = [
        Bar("recall, structured types", float(structured["recall"] or 0), at_least=0.98),
        Bar("precision, structured types", float(structured["precision"] or 0), at_least=0.95),
        Bar("4 times a hostile text, times as long", worst, at_most=8),
    ]
    if ratio is not None:
        bars.append(Bar("lockstep / presidio, characters a second", ratio, at_least=10))
    left = ", ".join(f"{name} {count}" for name, count in uncovered(texts).items())
    return Report(
        benchmark="redaction",
        columns=[
            Column("chars_per_s", "chars/s", "{:,.0f}"),
            Column("chars_per_s_long", "chars/s, 10k texts", "{:,.0f}"),
            Column("p50_ms", "p50 ms", "{:.3f}"),
            Column("p95_ms", "p95 ms", "{:.3f}"),
        ],
        arms=arms,
        recipe={"data": f"{data.parent.name}/{data.name}", "texts": len(texts)},
        skipped=skipped,
        bars=bars,
        notes=["", *table(tallies, total), "", f"not claimed: {left or 'none'}", *known_people.lines(terms)],
        extra={
            "types": {name: tally.figures() for name, tally in sorted(tallies.items())},
            "structured": structured,
            "not_claimed": dict(uncovered(texts)),
            "linear": growth,
            "known_people": terms,
        },
    )


def table(tallies: dict[str, Tally], total: Tally) -> list[str]:
    """One line a type. ``gone``: labels of which no letter or digit is left, whatever they were taken for."""
    rows = [["type", "labelled", "findings", "recall", "precision", "f1", "gone"]]
    for name, tally in [*sorted(tallies.items()), ("structured", total)]:
        figures = tally.figures()
        rows.append([name, str(figures["labelled"]), str(figures["findings"])])
        rows[-1] += [
            "-" if figures[key] is None else f"{figures[key]:.3f}"
            for key in ("recall", "precision", "f1", "gone")
        ]
    return aligned(rows)
