"""Promise 3 of effects, with real processes and a server that counts for itself."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from lockstep.workflows import start
from lockstep.workflows.engine import advance
from lockstep.workflows.models import Run, ToolAttempt, ToolCall, Wait
from lockstep.workflows.ownership import here
from tests.processes import run as run_process
from tests.processes import start as start_process
from tests.search.workers import until
from tests.workflows import tool_workers, workers
from tests.workflows.effects import Effects, effects
from tests.workflows.people import answered

__all__ = ["effects"]
pytestmark = pytest.mark.usefixtures("transactional_db")

MOMENTS = ["before intent", "after intent", "after effect", "after result"]


def advanced(run: Run, environment: dict[str, str]) -> int:
    return run_process(workers.advance_one, str(run.pk), environment=environment)


def followed(run: Run) -> None:
    """By us: a worker whose session has ended is dead, and nobody waits for its lease."""
    until(lambda: advance(str(run.pk)) is not None)
    run.refresh_from_db()


def environment(folder: Path, effects: Effects, moment: str, **server: object) -> dict[str, str]:
    return workers.environment(folder, die=f"kill:{moment}" if moment else "") | {
        "FLOWS_EFFECTS": effects.url,
        "FLOWS_SERVER": json.dumps(server),
    }


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_keyed_effect_is_done_once_wherever_its_worker_dies(
    moment: str, tmp_path: Path, effects: Effects
) -> None:
    run = start("charging", {})
    dying = environment(tmp_path, effects, moment)
    assert advanced(run, dying) == -signal.SIGKILL
    followed(run)
    assert (run.status, run.result["steps"]) == ("succeeded", ["paid", "tell"])
    assert effects.done("pay") == 1
    assert len(effects.keys("pay")) == 1
    assert effects.requests("pay") == (2 if moment == "after effect" else 1)
    call = ToolCall.objects.get(run=run)
    assert effects.keys("pay") == {call.key}
    outcomes = [*ToolAttempt.objects.filter(run=run).values_list("outcome", flat=True)]
    assert outcomes == (["lost", "done"] if moment in ("after intent", "after effect") else ["done"])
    assert call.attempts == len(outcomes)
    assert call.status == "done"


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_effect_at_most_once_is_never_asked_for_again(
    moment: str, tmp_path: Path, effects: Effects
) -> None:
    run = start("wiring", {})
    dying = environment(tmp_path, effects, moment)
    assert advanced(run, dying) == -signal.SIGKILL
    followed(run)
    if moment in ("before intent", "after result"):
        assert run.status == "succeeded"
        assert effects.requests("pay") == 1
        return
    assert (run.status, run.node) == ("waiting", "pay")
    assert effects.requests("pay") == (0 if moment == "after intent" else 1)
    wait = Wait.objects.get(run=run, status="open")
    assert (wait.kind, wait.name) == ("review", "settle wire")
    assert wait.payload["args"]["arguments"] == {"op": "pay"}
    assert wait.payload["args"]["outcome"] == "unknown"
    boss = answered(wait, outcome="done", result={"n": 77})
    followed(run)
    assert (run.status, run.result["answer"]) == ("succeeded", {"n": 77})
    assert effects.requests("pay") == (0 if moment == "after intent" else 1)
    assert ToolCall.objects.get(run=run).settled_by == str(boss.pk)


def test_what_a_person_says_was_not_done_is_repeated_once(tmp_path: Path, effects: Effects) -> None:
    run = start("wiring", {})
    dying = environment(tmp_path, effects, "after intent")
    assert advanced(run, dying) == -signal.SIGKILL
    followed(run)
    answered(Wait.objects.get(run=run, status="open"), outcome="not_done")
    followed(run)
    assert run.status == "succeeded"
    assert effects.requests("pay") == 1
    assert [*ToolAttempt.objects.filter(run=run).values_list("outcome", flat=True)] == ["lost", "done"]


def test_attempts_of_dead_workers_count(
    tmp_path: Path, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two died, two are refused: four is the most, and there is no fifth."""
    run = start("charging", {})
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        dying = environment(folder, effects, "after effect")
        until(lambda dying=dying: advanced(run, dying) == -signal.SIGKILL)
    monkeypatch.setenv("FLOWS_SERVER", json.dumps({"status": 503}))
    followed(run)
    assert (run.status, run.reason) == ("failed", "ToolFailed")
    assert "'charge' failed after 4 attempts: urllib.error.HTTPError (transient)" in run.error["text"]
    assert run.node == "pay"
    assert effects.requests("pay") == 4
    assert effects.done("pay") == 1
    rows = ToolAttempt.objects.filter(run=run)
    assert [(row.number, row.outcome, row.http_status) for row in rows] == [
        (1, "lost", None), (2, "lost", None), (3, "failed", 503), (4, "failed", 503),
    ]  # fmt: skip


def test_a_worker_that_lost_its_run_begins_no_effect(tmp_path: Path, effects: Effects) -> None:
    run = start("zombie", {})
    at, go = tmp_path / "at", tmp_path / "go"
    known = environment(tmp_path, effects, "") | {
        "FLOWS_AT": str(at), "FLOWS_GO": str(go), "FLOWS_SETTINGS": json.dumps({"lease_s": 600}),
    }  # fmt: skip
    said = tmp_path / "said.txt"
    worker = start_process(workers.advance_one, str(run.pk), environment=known, output=said)
    try:
        until(at.exists)
        time.sleep(1)  # its first sign of life is given, and the next one is due in minutes
        # as if it had been away for longer than its lease: its session lives, and nobody has told it anything
        Run.objects.filter(pk=run.pk).update(lease_until="2020-01-01T00:00:00Z")
        held = here().acquire(str(run.pk))
        assert held is not None
        go.touch()
        worker.join(20)
        assert worker.exitcode == 0, said.read_text()
    finally:
        worker.kill()
        worker.join()
    assert said.read_text().split() == ["None"]
    assert effects.requests("pay") == 0
    assert not ToolCall.objects.filter(run=run).exists()
    run.refresh_from_db()
    assert (run.status, run.epoch) == ("running", 2)


def test_the_process_of_a_tool_dies_with_its_worker(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    known = workers.environment(tmp_path)
    worker = start_process(tool_workers.call_apart, 100, environment=known, output=said)
    try:
        until(lambda: (tmp_path / "done.txt").exists() or worker.exitcode is not None)
        pid = int((tmp_path / "done.txt").read_text().split()[0])
        assert pid != worker.pid
        assert lives(pid)
    finally:
        worker.kill()
        worker.join()
    until(lambda: not lives(pid))


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
