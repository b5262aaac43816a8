"""One hybrid statement beside the naive three queries and the usual libraries, on generated documents.

Every arm answers every query, the arm that goes first rotating; each searches a table of its own over the
same documents and vectors. Query vectors are computed beforehand for all arms, so no model is in the
figures; what is timed is everything from the text of the query to ten results in Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks import database, project
from benchmarks.exceptions import Absent
from benchmarks.peers import PEERS, Search
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import Timed, interleave
from benchmarks.synthetic import Corpus, Query

TOP_N = 10
NAIVE = ("naive", "naive_or", "naive_ids")
LEGS = {"dense_only": "dense", "lexical_only": "lexical", "identifier_only": "identifier"}
DOCUMENTS, QUERIES = 100_000, 300
QUICK_DOCUMENTS, QUICK_QUERIES = 2_000, 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--docs", type=_positive, metavar="N", help=f"documents (default: {DOCUMENTS:,})")
    parser.add_argument("--queries", type=_positive, metavar="N", help=f"queries (default: {QUERIES})")
    parser.add_argument(
        "--rounds", type=_positive, default=1, metavar="N", help="how often to ask all of them"
    )
    parser.add_argument(
        "--depth", type=_positive, default=100, metavar="N", help="candidates a leg (default: 100)"
    )
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these")


def run(options: argparse.Namespace) -> Report:
    documents = options.docs or (QUICK_DOCUMENTS if options.quick else DOCUMENTS)
    queries = options.queries or (QUICK_QUERIES if options.quick else QUERIES)
    project.start({"BACKEND": "benchmarks.synthetic.SyntheticEmbedder"})
    corpus = Corpus(documents)
    asked = corpus.queries(queries)
    texts = [query.text for query in asked]
    with ExitStack() as stack:
        arms, skipped = fill(corpus, asked, options, stack)
        database.vacuum()
        timed = interleave(arms, texts, rounds=options.rounds, warmup=min(20, queries))
    recall = dense_recall(corpus, texts, options.depth) if "dense_only" in arms else {}
    return report(corpus, asked, options, timed, skipped, recall)


def fill(
    corpus: Corpus, asked: Sequence[Query], options: argparse.Namespace, stack: ExitStack
) -> tuple[dict[str, Search], dict[str, str]]:
    """Fill one table an arm needs; returns the arms, and the reason for each peer that is not there."""
    from benchmarks import loading

    wanted = options.arms or [*NAIVE, "hybrid", *LEGS, *PEERS]
    arms = {name: search for name, search in searches(asked, options.depth).items() if name in wanted}
    if {"hybrid", *LEGS}.intersection(arms):
        loading.fill_docs(corpus)
    if set(NAIVE).intersection(arms):
        loading.fill_naive(corpus)
    skipped: dict[str, str] = {}
    for name in [name for name in PEERS if name in wanted]:
        try:
            peer = PEERS[name](corpus, database.scratch_url(), top_n=TOP_N, depth=options.depth)
        except Absent as reason:
            skipped[name] = str(reason)
        else:
            stack.callback(peer.close)
            arms[name] = peer.search
    return arms, skipped


def searches(asked: Sequence[Query], depth: int) -> dict[str, Search]:
    """The arms that go through Django; the vectors of the queries are computed here, once."""
    from benchmarks import naive
    from benchmarks.project.catalogue.models import Doc

    vectors = naive.query_vectors([query.text for query in asked])

    def usual(search: Callable[..., list[Any]], text: str) -> list[str]:
        return [doc.key for doc in search(text, vectors[text], top_n=TOP_N, depth=depth)]

    def ours(text: str, **how: Any) -> list[str]:
        return [doc.key for doc in Doc.objects.hybrid_search(text, top_n=TOP_N, depth=depth, **how)]

    return {
        "naive": partial(usual, naive.search),
        "naive_or": partial(usual, naive.search_or),
        "naive_ids": partial(usual, naive.search_ids),
        "hybrid": ours,
        **{arm: partial(ours, legs=(leg,)) for arm, leg in LEGS.items()},
    }


def dense_recall(corpus: Corpus, texts: Sequence[str], depth: int) -> dict[str, float]:
    """Share of the truly nearest documents that the dense leg returns, at 10 and at its full depth."""
    from benchmarks.loading import embeddings
    from benchmarks.project.catalogue.models import Doc

    matrix = embeddings(corpus)
    shares: dict[int, list[float]] = {TOP_N: [], depth: []}
    for text in texts:
        nearest = np.argsort(-(matrix @ corpus.language.embed(text)))[:depth]
        truth = [f"d{number}" for number in nearest]
        found = [
            doc.key for doc in Doc.objects.hybrid_search(text, top_n=depth, depth=depth, legs=("dense",))
        ]
        for at, values in shares.items():
            values.append(len(set(truth[:at]).intersection(found[:at])) / min(at, len(truth)))
    return {f"recall@{at}": float(np.mean(values)) for at, values in shares.items()}


def report(
    corpus: Corpus,
    asked: Sequence[Query],
    options: argparse.Namespace,
    timed: Mapping[str, Timed[list[str]]],
    skipped: dict[str, str],
    recall: dict[str, float],
) -> Report:
    arms = {name: {**arm.latency(), "found@10": found(arm.results, asked)} for name, arm in timed.items()}
    if recall:
        arms["dense_only"].update(recall)
    ratios = compared({name: arm.p50_ms for name, arm in timed.items()})
    return Report(
        benchmark="search-latency",
        columns=[
            Column("p50_ms", "median ms"),
            Column("p95_ms", "p95 ms"),
            Column("found@10", "found@10", "{:.2f}"),
        ],
        arms=arms,
        peer="naive",
        recipe={
            "documents": corpus.documents,
            "queries": len(asked),
            "rounds": options.rounds,
            "top_n": TOP_N,
            "depth": options.depth,
            "query_embedding": "precomputed",
        },
        skipped=skipped,
        bars=[BARS[name](value) for name, value in ratios.items()],
        notes=[
            *([f"dense leg against exact search: {spoken(recall)}"] if recall else []),
            "found@10: share of queries whose document, the one that lent its words, is among the ten.",
        ],
        extra={"ratios": ratios, "dense_leg": recall},
    )


def compared(p50_ms: Mapping[str, float]) -> dict[str, float]:
    """Ratios of medians; empty where an arm is missing."""
    ratios: dict[str, float] = {}
    if {"naive", "hybrid"} <= p50_ms.keys():
        ratios["naive_to_hybrid"] = p50_ms["naive"] / p50_ms["hybrid"]
    if {"hybrid", *LEGS} <= p50_ms.keys():
        ratios["hybrid_to_sum_of_legs"] = p50_ms["hybrid"] / sum(p50_ms[leg] for leg in LEGS)
    return ratios


BARS: dict[str, Callable[[float], Bar]] = {
    "naive_to_hybrid": lambda value: Bar("naive / hybrid, medians", value, at_least=4),
    "hybrid_to_sum_of_legs": lambda value: Bar("hybrid / sum of its legs, medians", value, at_most=1.25),
}


def found(rankings: Sequence[Sequence[str]], asked: Sequence[Query]) -> float:
    hits = [f"d{query.target}" in ranking[:TOP_N] for ranking, query in zip(rankings, asked, strict=True)]
    return sum(hits) / len(hits)


def spoken(recall: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in recall.items())


def _positive(value: str) -> int:
    number = int(value.replace(",", "").replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value}: a whole number of at least 1")
    return number
