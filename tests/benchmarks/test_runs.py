"""Each benchmark once, small, through the command line: the JSON keys are a promise to programs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.test_command import ROOT, bench

pytestmark = pytest.mark.slow

PRODUCTS = [
    ("Kestra head torch", "A bright lamp to wear on the head while camping.", "XR-2000A"),
    ("Kestrel kettle", "Boils a litre of water in three minutes.", "KST-17"),
    ("Garden hose", "Thirty metres with a sprayer for roses and lawns.", "TH-30/S"),
    ("Bathroom scale", "Weighs people and their luggage to the gram.", "VB 100.2"),
]
FUSIONS = {"hybrid_norm", "hybrid_dbsf"}
QUERIES = [
    ("q1", "torch for camping", "shop", "d0"),
    ("q2", "boiling water", "shop", "d1"),
    ("q3", "xr2000a", "code", "d0"),
    ("q4", "TH-30", "code", "d2"),
]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    corpus = [
        {"_id": f"d{n}", "title": title, "text": text, "metadata": {"part_number": code, "ean": [f"50{n}"]}}
        for n, (title, text, code) in enumerate(PRODUCTS)
    ]
    queries = [{"_id": key, "text": text, "metadata": {"kind": kind}} for key, text, kind, _ in QUERIES]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    qrels = "".join(f"{key}\t{document}\t1\n" for key, _, _, document in QUERIES)
    (tmp_path / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}")
    return tmp_path


def measured(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    out = tmp_path / "out.json"
    run = bench(*arguments, "--json", str(out))
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert set(found["machine"]) >= {"cpu", "cores", "postgresql", "pgvector", "python", "django"}
    for arm in found["arms"]:
        assert f"\n{arm} " in run.stdout, "the table names every arm"
    return found


def test_retrieval_reports_every_leg_and_fusion(collection: Path, tmp_path: Path) -> None:
    found = measured(tmp_path, "retrieval", "--data", str(collection), "--embedder", "hashing")
    legs = {"lexical", "identifier", "dense"}
    assert set(found["arms"]) == {"naive", "bm25", *legs, "lexical_dense", "hybrid", *FUSIONS}
    for arm, figures in found["arms"].items():
        for key in ("ndcg@10", "recall@50", "recall@100"):
            assert 0 <= figures[key] <= 1
        assert set(figures["by_kind"]) == {"shop", "code"}
        assert ("p50_ms" in figures) is (arm != "bm25")
    assert found["arms"]["lexical"]["by_kind"]["shop"]["ndcg@10"] == 1
    assert found["arms"]["identifier"]["by_kind"]["code"]["ndcg@10"] == 1
    assert found["arms"]["hybrid"]["ndcg@10"] > found["arms"]["naive"]["ndcg@10"]
    significance = found["significance"]
    assert significance["better_leg"] in legs
    assert set(significance["default_vs_better_leg"]) == {"difference", "low", "high", "verdict"}


def test_search_latency_reports_every_arm_and_names_absent_peers(tmp_path: Path) -> None:
    found = measured(tmp_path, "search-latency", "--docs", "120", "--queries", "20")
    ours = {"hybrid", "dense_only", "lexical_only", "identifier_only"}
    peers = {"langchain_postgres", "llamaindex"}
    assert set(found["arms"]) | set(found["skipped"]) == {"naive", "naive_or", "naive_ids", *ours, *peers}
    assert not set(found["arms"]) & set(found["skipped"])
    for figures in found["arms"].values():
        assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    for reason in found["skipped"].values():
        assert "requirements/bench.txt" in reason
    assert found["dense_leg"]["recall@10"] > 0.9
    assert set(found["ratios"]) == {"naive_to_hybrid", "hybrid_to_sum_of_legs"}
    assert found["arms"]["hybrid"]["found@10"] > 0.8


def test_ingest_reports_rows_a_second_of_every_way(tmp_path: Path) -> None:
    found = measured(tmp_path, "ingest", "--docs", "40", "--rounds", "1", "--delay-ms", "5")
    assert set(found["arms"]) == {"save_loop", "bulk_create", "load", "deferred"}
    assert all(figures["rows_per_s"] > 0 for figures in found["arms"].values())
    assert [entry["rows"] for entry in found["memory"]] == [40, 160]
    assert found["ratios"]["bulk_create_to_save_loop"] > 1


def test_door_reports_every_arm_and_finds_each_row_settled(tmp_path: Path) -> None:
    found = measured(tmp_path, "door", "--calls", "12", "--burst", "4")
    assert set(found["arms"]) | set(found["skipped"]) == {
        "raw_openai", "langchain", "litellm", "lockstep", "lockstep_ledger", "lockstep_prompt",
    }  # fmt: skip
    for figures in found["arms"].values():
        assert min(figures["cpu_ratio"], figures["wall_ratio"], figures["p50_ms"]) > 0
    assert found["arms"]["raw_openai"]["cpu_ratio"] == 1
    assert found["arms"]["lockstep"]["round_trips"] == 2
    assert found["arms"]["lockstep_prompt"]["round_trips"] == 2
    assert "36 of 36 calls" in found["notes"][0]
    for reason in found["skipped"].values():
        assert "requirements/litellm.txt" in reason


def test_the_project_has_all_its_migrations() -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
        "LOCKSTEP_BENCH_DATABASE_URL": os.environ["DATABASE_URL"],
        "LOCKSTEP_BENCH_EMBEDDER": '{"BACKEND": "benchmarks.synthetic.SyntheticEmbedder"}',
    }
    checked = subprocess.run(
        [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run", "catalogue"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
