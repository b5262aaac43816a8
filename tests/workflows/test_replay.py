"""Runs that are gone through once more, from what is written of them."""

from __future__ import annotations

from typing import Any

import pytest

from lockstep.testing.workflows import crash_at, go_on, run_inline
from lockstep.workflows import replay
from lockstep.workflows.models import Run
from lockstep.workflows.replays.report import Report

pytestmark = pytest.mark.django_db


def told(report: Report) -> list[tuple[str, str, bool]]:
    return [(one.kind, one.node, one.same) for one in report.checked]


def nodes(report: Report) -> list[str]:
    return [one.node for one in report.checked if one.kind == "node"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", ["n0", "n1", "n2", "n3", "n4", "n5"]),
        ("fan_out", ["split", "a", "b", "c", "join"]),
        ("nested", ["first", "in1", "in2", "inner", "each", "each", "each"]),
        ("asynchronous", ["think", "say"]),
    ],
)
def test_every_node_of_a_run_writes_the_same_once_more(name: str, expected: list[str]) -> None:
    run = run_inline(name, {})
    report = replay(run)
    assert report.same, report.verdict
    assert nodes(report) == expected
    assert {one.kind for one in report.checked} >= {"node", "state"}
