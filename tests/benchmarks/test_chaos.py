"""The chaos in small, and that its oracle sees what it is there to see."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import oracle
from benchmarks.chaos.graphs import EFFECTS
from benchmarks.chaos.marks import Mark, Marks, write
from benchmarks.chaos.part import Hit
from benchmarks.chaos.plan import plan
from tests.benchmarks.test_runs import measured
from tools.chromium import in_ci
from tools.services.exceptions import ServiceMissing
from tools.services.redis import redis_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {"steps": EFFECTS["chaos_linear"]}


@pytest.mark.slow
def test_workers_are_killed_and_nothing_is_lost_doubled_or_stale(tmp_path: Path) -> None:
    try:
        redis_server()
    except ServiceMissing as missing:
        if in_ci():
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    found = measured(tmp_path, "chaos", "--kills", "10", "--seed", "7")
    assert found["kills"] == 10
    assert found["arms"]["tree"]["blows"] == 1
    assert found["arms"]["hung"]["blows"] == 2
    assert found["arms"]["child"]["owned"] >= 5
    assert found["takeover_p50_s"] > 0
    told = ("lost", "doubled_effects", "stale_writes", "two_owners", "stream_errors")
    assert [found[key] for key in told] == [0, 0, 0, 0, None]
    assert found["effects"] >= 5 * found["runs"]


def test_the_same_seed_plans_the_same() -> None:
    assert plan(100, 5, 2, 3) == plan(100, 5, 2, 3) != plan(100, 5, 2, 4)
    assert Counter(blow.kind for blow in plan(100, 5, 2, 3)[0]) == {"child": 95, "tree": 5}


def book(*booked: tuple[str, str]) -> list[Mark]:
    return [Mark(at, 1, "booked", run, place, "-") for at, (run, place) in enumerate(booked)]


def test_an_effect_that_was_booked_twice_is_doubled() -> None:
    booked = oracle.bookings([*book(("r", "a"), ("r", "b"), ("r", "a")), Mark(9, 1, "asked", "r", "b", "-")])
    assert oracle.doubled_effects(booked) == 1


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (("succeeded", STEPS), None),
        (("failed", None), "failed"),
        (("waiting", None), "waiting"),
        (("succeeded", {"steps": ["n0"]}), "another state"),
    ],
)
def test_a_run_that_does_not_end_as_an_undisturbed_one_is_lost(ended: Any, why: str | None) -> None:
    booked = oracle.bookings(book(*(("r", place) for place in EFFECTS["chaos_linear"])))
    found = oracle.lost({"r": "chaos_linear"}, {"r": ended}, {"chaos_linear": STEPS}, booked)
    assert found.get("r") == why


def test_so_is_one_whose_effect_is_missing_and_one_that_is_not_there() -> None:
    runs = {"r": "chaos_linear", "q": "chaos_linear"}
    found = oracle.lost(runs, {"r": ("succeeded", STEPS)}, {"chaos_linear": STEPS}, Counter())
    assert found == {"r": "an effect is missing", "q": "missing"}


@pytest.mark.django_db
@pytest.mark.parametrize(("epochs", "stale"), [([1, 1, 2, 2, 3], 0), ([1, 2, 1, 2, 3], 1), ([3, 2, 1], 2)])
def test_a_row_of_an_earlier_owner_after_one_of_a_later_is_stale(epochs: list[int], stale: int) -> None:
    from django.db import connection

    from lockstep.core.ids import new_id
    from lockstep.workflows.models import NodeExecution

    run = new_id()
    for seconds, epoch in enumerate(epochs):
        NodeExecution.objects.create(
            run_id=run, epoch=epoch, node="n", task_id="t", status="ok", checkpoint="c",
            worker="both" if epoch == 1 else str(seconds), at=NOW + timedelta(seconds=seconds),
        )  # fmt: skip
    link = connection.connection
    assert oracle.stale_writes(link) == stale
    assert oracle.two_owners(link) == int(epochs[:4].count(2) == 2)


def test_nodes_that_are_begun_again_are_counted_by_the_blow_before() -> None:
    def begun(at: float, place: str) -> Mark:
        return Mark(at, 1, "begun", "r", place, "-")

    hits = [Hit("child", 1.5, 1, "r", phase="asked"), Hit("child", 3.5, 1, "r", phase="ended")]
    marks = [begun(1, "a"), begun(2, "a"), begun(3, "b"), begun(4, "b"), begun(5, "c")]
    assert oracle.begun_again(marks, hits) == {"in a call, sent": 1, "writing a transition": 1}


def test_marks_are_read_once_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    marks = Marks(file)
    write(str(file), 7, "begun", "r", "a")
    with file.open("a") as other:
        other.write("1.5 8 end")
    assert [mark.pid for mark in marks.new()] == [7]
    with file.open("a") as other:
        other.write("ed r b -\n")
    assert [(mark.pid, mark.moment) for mark in marks.new()] == [(8, "ended")]
    assert len(marks.all) == 2
