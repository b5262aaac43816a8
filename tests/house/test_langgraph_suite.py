"""LangGraph's suite with our saver, over a checkout of a few lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONFTEST = """
import pytest

@pytest.fixture(params=["memory", "postgres"])
def sync_checkpointer(request):
    raise AssertionError("the suite's own")

@pytest.fixture(params=["memory", "postgres"])
async def async_checkpointer(request):
    raise AssertionError("the suite's own")
"""
TESTS = """
import operator
from typing import Annotated, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict):
    steps: Annotated[list[str], operator.add]


def app(saver):
    graph = StateGraph(State)
    graph.add_node("one", lambda state: {"steps": ["one"]})
    graph.add_edge(START, "one")
    return graph.compile(checkpointer=saver)


PLACE = {"configurable": {"thread_id": "1"}}


def test_sync(sync_checkpointer):
    known = app(sync_checkpointer)
    assert known.get_state(PLACE).values == {}, "each test begins with nothing"
    known.invoke({"steps": []}, PLACE)
    assert known.get_state(PLACE).values == {"steps": ["one"]}


async def test_async(async_checkpointer):
    known = app(async_checkpointer)
    await known.ainvoke({"steps": []}, PLACE)
    assert (await known.aget_state(PLACE)).values == {"steps": ["one"]}


def test_broken_for_all(sync_checkpointer):
    assert not sync_checkpointer


def test_only_memory(sync_checkpointer):
    assert type(sync_checkpointer).__name__ == "InMemorySaver"


def test_without_a_saver():
    raise AssertionError("no business of ours")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tests = tmp_path / "libs" / "langgraph" / "tests"
    tests.mkdir(parents=True)
    for name, text in (("__init__.py", ""), ("conftest.py", CONFTEST), ("test_it.py", TESTS)):
        (tests / name).write_text(text)
    return tmp_path


def suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.langgraph_suite", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@pytest.mark.slow
def test_what_fails_with_our_saver_alone_is_named_and_fails_the_command(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    found = suite(str(checkout))
    assert found.returncode == 1, found.stdout + found.stderr
    rows = [line.split() for line in found.stdout.splitlines()]
    assert ["memory", "3", "1", "0"] in rows
    assert ["lockstep", "2", "2", "0"] in rows
    assert "fails with memory: tests.test_it::test_broken_for_all[memory]" in found.stdout
    assert "only with ours: tests.test_it::test_only_memory[memory]: NOT EXPLAINED" in found.stdout
    assert "1 fail with ours alone, 1 of them unexplained" in found.stdout
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.slow
def test_what_fails_with_both_is_not_ours(checkout: Path) -> None:
    found = suite(str(checkout), "-k", "not only_memory")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 fail with ours alone" in found.stdout


def test_another_folder_is_refused(tmp_path: Path) -> None:
    found = suite(str(tmp_path))
    assert found.returncode == 2
    assert "is no checkout of LangGraph" in found.stderr
