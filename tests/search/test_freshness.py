"""Promise 1 under fire: the short form of ``bin/bench freshness``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_no_stale_vector_is_served_while_writers_and_the_follower_are_killed(tmp_path: Path) -> None:
    file = tmp_path / "freshness.json"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "benchmarks",
            "freshness",
            "--seconds",
            "7",
            "--json",
            str(file),
        ],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["stale_rows"] == 0, done.stdout
    assert found["out_of_step"] == 0, done.stdout
    assert found["not_refused"] == 0, done.stdout
    assert found["kills_by_role"]["writer"] > 3
    assert found["kills_by_role"]["follower"] > 0
    assert min(found["writes_by_way"].values()) > 0
    assert found["refused"] > 0
    strict, deferred = found["arms"]["strict"], found["arms"]["deferred"]
    assert strict["served"] == strict["reads"] * found["recipe"]["page"] > 0
    assert deferred["served"] > 0
