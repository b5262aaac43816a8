"""Quality of each leg and each fusion on a labelled collection in the BEIR layout.

Every arm answers every query of the split over the same documents; nDCG@10 has linear gain, recall counts
documents judged 1 or more, and queries without one are left out. Query vectors are computed beforehand, so
the times are those of the search alone. Document vectors are cached by digest in benchmarks/.cache.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import beir, project
from benchmarks.beir import Collection, Document
from benchmarks.bm25 import BM25
from benchmarks.database import vacuum
from benchmarks.loading import batches, say
from benchmarks.metrics import Difference, mean, ndcg, paired_bootstrap, recall
from benchmarks.paths import called_from
from benchmarks.report import Bar, Column, Report
from benchmarks.rounds import Timed, interleave
from benchmarks.spoiled import spoiled
from benchmarks.texts import rendered

DEPTH = 100
"""Results asked of every arm, and ranks that each leg hands to the fusion."""
EMBEDDERS: dict[str, dict[str, Any]] = {
    "minilm": {
        "BACKEND": "benchmarks.vectors.CachedEmbedder",
        "OPTIONS": {"inner": "lockstep.search.embedders.minilm.MiniLM"},
    },
    "hashing": {"BACKEND": "lockstep.search.embedders.hashing.Hashing", "OPTIONS": {"dimensions": 384}},
}
"""``hashing`` knows no meaning: it is for trying out the benchmark itself, with no model and no cache."""
LEGS = ("lexical", "dense")
"""Of these the default fusion should not be significantly below the better."""
FUSIONS = ("hybrid", "hybrid_norm", "hybrid_dbsf")
QUICK_QUERIES, QUICK_CHARACTERS = 40, 60_000

Search = Callable[[str], list[str]]
"""From the text of a query to document keys, best first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=called_from, metavar="DIR", required=True, help="collection in BEIR layout"
    )
    parser.add_argument(
        "--queries", type=called_from, metavar="DIR", help="take queries and qrels from there instead"
    )
    parser.add_argument("--split", default="test", help="file in qrels/ to score (default: test)")
    parser.add_argument(
        "--spoil",
        action="store_true",
        help="ask the split's codes mistyped and cut short, instead of its queries",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N queries")
    parser.add_argument("--embedder", choices=sorted(EMBEDDERS), default="minilm")


def prepare(options: argparse.Namespace) -> None:
    """Read the collection: what is wrong with it is said before a database is made."""
    collection = beir.load(options.data, queries=options.queries, split=options.split, limit=options.limit)
    if options.spoil:
        collection = spoiled(collection)
    if options.quick:
        collection = beir.shrink(collection, queries=QUICK_QUERIES, characters=QUICK_CHARACTERS)
    options.collection = collection


def run(options: argparse.Namespace) -> Report:
    collection: Collection = options.collection
    project.start(EMBEDDERS[options.embedder])
    fill(collection.documents)
    arms = searches([query.text for query in collection.queries])
    timed = interleave(arms, [query.text for query in collection.queries], warmup=2)
    scores = {name: Scores(collection, arm.results) for name, arm in timed.items()}
    return report(collection, options, timed, scores)


def fill(documents: Sequence[Document]) -> None:
    """The documents in both tables, with statistics for lexical ranking and for the planner."""
    from django.core.management import call_command

    from benchmarks import naive
    from benchmarks.project.catalogue.models import Doc, NaiveDoc

    say(f"embedding and indexing {len(documents)} documents (cached vectors are used)")
    Doc.search.load(Doc(**fields(document)) for document in documents)
    for some in batches(documents, 256):
        # the whole text at once, as is common: the model cuts off what it cannot take
        vectors = Doc.search.embedder.embed_documents([rendered(d.title, d.text) or " " for d in some])
        NaiveDoc.objects.bulk_create(
            NaiveDoc(**fields(document), embedding=list(vector))
            for document, vector in zip(some, vectors, strict=True)
        )
    naive.fill_search_vector()
    call_command("lockstep_stats", stdout=sys.stderr)
    vacuum()


def searches(queries: Sequence[str]) -> dict[str, Search]:
    """The arms. The vectors of ``queries`` are computed here, once, for all of them."""
    from benchmarks import naive
    from benchmarks.project.catalogue.models import Doc

    vectors = naive.query_vectors(queries)

    def usual(text: str) -> list[str]:
        return [doc.key for doc in naive.search(text, vectors[text], top_n=DEPTH)]

    def ours(text: str, **options: Any) -> list[str]:
        return [doc.key for doc in Doc.objects.hybrid_search(text, top_n=DEPTH, depth=DEPTH, **options)]

    return {
        "naive": usual,
        "bm25": bm25(),
        "lexical": partial(ours, legs=("lexical",)),
        "identifier": partial(ours, legs=("identifier",)),
        "dense": partial(ours, legs=("dense",)),
        "lexical_dense": partial(ours, legs=("lexical", "dense")),
        "hybrid": ours,
        "hybrid_norm": partial(ours, fusion="norm"),
        "hybrid_dbsf": partial(ours, fusion="dbsf"),
    }


def bm25() -> Search:
    """The reference over title and text, with the lexemes and frequencies that Postgres finds."""
    from django.db import connection

    from benchmarks.project.catalogue.models import Doc

    keys = list(Doc.objects.order_by("pk").values_list("pk", "key"))
    numbers = {pk: number for number, (pk, _) in enumerate(keys)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT doc.id, found.lexeme, cardinality(found.positions) FROM catalogue_doc doc,"
            " unnest(to_tsvector('english', doc.title || ' ' || doc.text)) found"
        )
        ranking = BM25(((numbers[pk], lexeme, tf) for pk, lexeme, tf in cursor), documents=len(keys))

    def search(text: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT lexeme, cardinality(positions) FROM unnest(to_tsvector('english', %s))", [text]
            )
            return [keys[number][1] for number in ranking.rank(dict(cursor.fetchall()), depth=DEPTH)]

    return search


class Scores:
    """What one arm's rankings are worth, query by query."""

    def __init__(self, collection: Collection, rankings: Sequence[Sequence[str]]) -> None:
        judged = [collection.qrels[query.key] for query in collection.queries]
        pairs = list(zip(rankings, judged, strict=True))
        self.queries = collection.queries
        self.by_query = {
            "ndcg@10": [ndcg(ranking, scores) for ranking, scores in pairs],
            "recall@50": [recall(ranking, scores, depth=50) for ranking, scores in pairs],
            "recall@100": [recall(ranking, scores, depth=100) for ranking, scores in pairs],
            "judged@10": [judged_share(ranking, scores) for ranking, scores in pairs],
        }

    def as_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = self._means(range(len(self.queries)))
        kinds = sorted({query.kind for query in self.queries if query.kind})
        if kinds:
            figures["by_kind"] = {kind: self._of_kind(kind) for kind in kinds}
        return figures

    def _of_kind(self, kind: str) -> dict[str, float]:
        numbers = [number for number, query in enumerate(self.queries) if query.kind == kind]
        return {**self._means(numbers), "queries": len(numbers)}

    def _means(self, numbers: Sequence[int]) -> dict[str, float]:
        # an empty answer has no share of judged documents
        return {
            name: mean(values[n] for n in numbers if not math.isnan(values[n]))
            for name, values in self.by_query.items()
        }


def judged_share(ranking: Sequence[str], judged: Mapping[str, int], *, depth: int = 10) -> float:
    """How many of the first results somebody has judged: with few, nDCG says little."""
    first = ranking[:depth]
    return sum(key in judged for key in first) / len(first) if first else math.nan


def report(
    collection: Collection,
    options: argparse.Namespace,
    timed: Mapping[str, Timed[list[str]]],
    scores: dict[str, Scores],
) -> Report:
    arms = {name: {**scores[name].as_json(), **timed[name].latency()} for name in timed}
    for measure in ("p50_ms", "p95_ms"):
        # it runs in memory, in this process: beside searches in a database its time would mislead
        del arms["bm25"][measure]
    by_query = {name: arm.by_query["ndcg@10"] for name, arm in scores.items()}
    better = max(LEGS, key=lambda leg: arms[leg]["ndcg@10"])
    against_leg = {fusion: paired_bootstrap(by_query[fusion], by_query[better]) for fusion in FUSIONS}
    against_bm25 = paired_bootstrap(by_query["lexical"], by_query["bm25"])
    return Report(
        benchmark="retrieval",
        columns=[
            *(Column(key, key, "{:.3f}") for key in ("ndcg@10", "recall@50", "recall@100", "judged@10")),
            Column("p50_ms", "p50 ms"),
            Column("p95_ms", "p95 ms"),
        ],
        arms=arms,
        peer="naive",
        recipe={
            "collection": collection.name,
            "split": options.split,
            "documents": len(collection.documents),
            "queries": len(collection.queries),
            "embedder": options.embedder,
            "depth": DEPTH,
        },
        bars=[
            Bar("lexical minus bm25, ndcg@10", against_bm25.mean, at_least=-0.01),
            Bar(f"hybrid minus {better}, upper end of 95 %", against_leg["hybrid"].high, at_least=0),
        ],
        notes=[
            *collection.warnings,
            *(spoken(f"{fusion} against {better}", difference) for fusion, difference in against_leg.items()),
            spoken("lexical against bm25", against_bm25),
            *kinds_table(arms),
        ],
        extra={
            "significance": {
                "measure": "ndcg@10, paired bootstrap over queries, 95 %",
                "better_leg": better,
                "default_vs_better_leg": difference_json(against_leg["hybrid"]),
                **{f"{fusion}_vs_better_leg": difference_json(d) for fusion, d in against_leg.items()},
                "lexical_vs_bm25": difference_json(against_bm25),
            }
        },
    )


def kinds_table(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """ndcg@10 by kind of query, a line an arm; nothing where queries have no kind."""
    from benchmarks.report import aligned

    kinds = list(next(iter(arms.values())).get("by_kind", ()))
    if not kinds:
        return []
    rows = [
        [name, *(f"{arm['by_kind'][kind]['ndcg@10']:.3f}" for kind in kinds)] for name, arm in arms.items()
    ]
    return ["", *aligned([["ndcg@10 by kind", *kinds], *rows])]


def difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }


def spoken(what: str, difference: Difference) -> str:
    interval = f"[{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"{what}: {difference.mean:+.3f} {interval} ndcg@10, {difference.verdict}"


def fields(document: Document) -> dict[str, Any]:
    """The columns of a document as a shop would fill them."""
    return {
        "key": document.key,
        "title": document.title,
        "text": document.text,
        "part_number": list(document.identifiers.get("part_number", ())),
        "ean": list(document.identifiers.get("ean", ())),
        "brand": " ".join(document.identifiers.get("brand", ())),
    }
