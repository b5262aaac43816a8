"""The kit that users test their graphs with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import TestCase

from lockstep.testing.workflows import Crashed, crash_at, go_on, pass_time, run_inline
from tests.flows import workflows

pytestmark = pytest.mark.django_db


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    begun: list[str] = []
    monkeypatch.setattr(workflows, "note", lambda text: begun.append(text.split(" ")[1]))
    return begun


@pytest.mark.parametrize(("name", "node"), [("linear", "n3"), ("fan_out", "b"), ("nested", "in2")])
def test_a_crash_before_a_node_runs_it_once(name: str, node: str, done: list[str]) -> None:
    with crash_at(node):
        run = run_inline(name, {})
    assert (run.status, node in done) == ("running", False)
    run = go_on(run)
    assert (run.status, run.epoch, done.count(node)) == ("succeeded", 2, 1)
    assert node in run.nodes.filter(status="died").values_list("node", flat=True)


def test_a_crash_after_a_node_runs_it_again(done: list[str]) -> None:
    with crash_at("n3", "after"):
        run = run_inline("linear", {})
    run = go_on(run)
    assert (run.status, done.count("n3"), done.count("n2")) == ("succeeded", 2, 1)
    assert run.result["steps"] == [f"n{at}" for at in range(6)]


def test_time_passes_when_the_test_says_so() -> None:
    run = run_inline("sleeper", {"amount": 86_400})
    assert go_on(run).status == "waiting"
    assert go_on(pass_time(run, timedelta(hours=23))).status == "waiting"
    assert go_on(pass_time(run, timedelta(hours=1))).status == "succeeded"


def test_a_node_that_nobody_came_to_is_a_mistake_of_the_test() -> None:
    with pytest.raises(AssertionError, match="'n9'"), crash_at("n9"):
        run_inline("linear", {})


def test_no_handler_of_a_graph_sees_a_crash() -> None:
    assert not issubclass(Crashed, Exception)


class RunsInATestCase(TestCase):
    """Everything is rolled back with the test, also what LangGraph's own threads wrote."""

    def check(self) -> Any:
        assert run_inline("fan_out", {}).status == "succeeded"
        from lockstep.workflows.models import Checkpoint, Run

        return Run.objects.count(), Checkpoint.objects.count()

    def test_one(self) -> None:
        assert self.check() == (1, 5)

    def test_another(self) -> None:
        assert self.check() == (1, 5)
