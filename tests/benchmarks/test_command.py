"""The command as people type it, in a process of its own."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest

from benchmarks import database
from benchmarks.embedding_api import serving

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def test_without_a_name_the_benchmarks_are_listed() -> None:
    found = bench()
    assert found.returncode == 0
    assert [line.split()[0] for line in found.stdout.splitlines()[1:]] == [
        "retrieval",
        "search-latency",
        "ingest",
        "freshness",
        "budget",
        "chaos",
        "engine",
        "retention",
        "door",
        "redaction",
    ]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    found = bench("latency")
    assert found.returncode == 2
    assert "search-latency" in found.stderr


def test_without_a_database_it_says_what_to_run(tmp_path: Path) -> None:
    found = bench("ingest", "--quick", DATABASE_URL="")
    assert (found.returncode, found.stdout) == (2, "")
    assert "DATABASE_URL is not set: run bin/bench" in found.stderr


def test_a_json_file_that_cannot_be_written_is_refused_before_the_run() -> None:
    found = bench("ingest", "--quick", "--json", "/nowhere/out.json", DATABASE_URL="")
    assert found.returncode == 2
    assert "/nowhere/out.json cannot be written" in found.stderr


def test_data_that_is_malformed_is_refused_by_name_and_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("nonsense")
    (tmp_path / "queries.jsonl").write_text("{}")
    found = bench("retrieval", "--data", str(tmp_path))
    assert found.returncode == 2
    assert "corpus.jsonl:1: not a JSON object" in found.stderr
    assert "Traceback" not in found.stderr


def test_paths_mean_the_folder_the_person_was_in(tmp_path: Path) -> None:
    found = bench("retrieval", "--data", "here", LOCKSTEP_CALLED_FROM=str(tmp_path))
    assert f"{tmp_path}/here is not a folder" in found.stderr


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("postgresql://ann:s%40t@db:5433/shop", "postgresql://ann:s%40t@db:5433/b"),
        ("postgresql://ann@/shop?host=/run/a%20b&port=5", "postgresql://ann@/b?host=%2Frun%2Fa%20b&port=5"),
        (
            "host=localhost user=ann dbname=shop sslmode=disable",
            "postgresql://ann@localhost/b?sslmode=disable",
        ),
    ],
)
def test_the_scratch_database_is_on_the_same_server(server: str, expected: str) -> None:
    assert database.url(server, "b") == expected


def test_the_scratch_database_is_dropped_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = os.environ["DATABASE_URL"]

    def exists(name: str) -> bool:
        with psycopg.connect(server) as connection:
            return bool(connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall())

    name = f"lockstep_bench_test_{os.getpid()}"
    during: list[bool] = []

    def fail() -> None:
        with database.scratch("test"):
            during.append(exists(name))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert during == [True]
    assert not exists(name)
    assert database.SCRATCH not in os.environ


def test_the_local_api_answers_like_a_hosted_one_and_takes_its_time() -> None:
    with serving(delay_ms=80, dimensions=4) as url:
        body = json.dumps({"model": "local", "input": ["a", "b", "a"]}).encode()
        request = urllib.request.Request(f"{url}/embeddings", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            found = json.load(response)
        with urllib.request.urlopen(f"{url}/stats") as response:
            stats = json.load(response)
    assert [row["index"] for row in found["data"]] == [0, 1, 2]
    first, second, third = (row["embedding"] for row in found["data"])
    assert first == third != second
    assert len(first) == 4
    assert stats == {"calls": 1, "texts": 3}
