import json
import math
from pathlib import Path

import numpy as np

from benchmarks.report import Bar, Column, Report, aligned


def some_report() -> Report:
    return Report(
        benchmark="search-latency",
        columns=[Column("p50_ms", "median ms")],
        arms={
            "naive": {"p50_ms": 20.0},
            "hybrid": {"p50_ms": np.float64(5.0)},
            "broken": {"p50_ms": math.nan},
        },
        recipe={"documents": 10},
        peer="naive",
        skipped={"llamaindex": "it is not installed"},
        bars=[Bar("naive / hybrid", 4.0, at_least=4), Bar("hybrid / legs", 1.5, at_most=1.25)],
        extra={"ratios": {"naive_to_hybrid": 4.0}},
        machine={"cpu": "test", "postgresql": "18.4", "pgvector": "0.8.5"},
    )


def test_the_table_has_the_ratio_to_the_named_peer() -> None:
    lines = str(some_report()).splitlines()
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == ["arm", "median", "ms", "x", "naive"]
    assert table[3].split() == ["hybrid", "5.0", "0.25"]
    assert table[4].split() == ["broken", "-", "-"]


def test_machine_recipe_skips_and_bars_are_shown() -> None:
    text = str(some_report())
    assert "postgresql 18.4, pgvector 0.8.5" in text
    assert "documents 10" in text
    assert "skipped llamaindex: it is not installed" in text
    assert "met  naive / hybrid: 4 (at least 4)" in text
    assert "MISSED hybrid / legs: 1.5 (at most 1.25)" in text


def test_json_has_stable_nested_keys_and_plain_numbers(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    some_report().write(path)
    found = json.loads(path.read_text())
    assert found["arms"]["hybrid"]["p50_ms"] == 5.0
    assert found["arms"]["broken"]["p50_ms"] is None
    assert found["ratios"]["naive_to_hybrid"] == 4.0
    assert found["machine"]["pgvector"] == "0.8.5"
    assert found["bars"][1] == {"name": "hybrid / legs", "value": 1.5, "at_most": 1.25, "met": False}


def test_columns_line_up() -> None:
    assert aligned([["arm", "ms"], ["a", "1.0"], ["longer", "10.0"]]) == [
        "arm       ms",
        "------  ----",
        "a        1.0",
        "longer  10.0",
    ]
