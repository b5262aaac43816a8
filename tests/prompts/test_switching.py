"""A release is what the very next call uses, in every process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection, transaction

from lockstep.prompts.models import PromptVersion, Release
from lockstep.prompts.releases import live, release
from tests.processes import run, start
from tests.prompts import workers
from tests.prompts.conftest import version
from tests.search.workers import environment, until

PROCESSES = 4


@pytest.fixture
def versions(transactional_db: None) -> list[PromptVersion]:
    """Two versions, really committed; the first is live."""
    made = [version(text=f"{number} {{question}}") for number in range(2)]
    release("support-answer", made[0].key, actor="ann", reason="first")
    return made


@pytest.mark.parametrize(
    ("ask", "least"), [(workers.ask_until, 500), pytest.param(workers.call_until, 40, marks=pytest.mark.slow)]
)
def test_no_call_that_begins_after_a_release_uses_what_was_live_before(
    ask: Callable[[str, str], None], least: int, versions: list[PromptVersion], tmp_path: Path
) -> None:
    stop, outputs = tmp_path / "stop", [tmp_path / f"asked-{number}" for number in range(PROCESSES)]
    askers = [start(ask, str(stop), str(output), environment=environment()) for output in outputs]
    try:
        until(lambda: all(output.exists() for output in outputs))
        switches = [(0.0, 0.0, versions[0].key)]
        for number in range(1, 21):
            key, began = versions[number % 2].key, time.monotonic()
            release("support-answer", key, actor="ann", reason=f"switch {number}")
            switches.append((began, time.monotonic(), key))
            time.sleep(0.02)
    finally:
        stop.touch()
        for asker in askers:
            asker.join(30)
    asked = [line.split() for output in outputs for line in output.read_text().splitlines()]
    calls = [(float(began), float(ended), key) for began, ended, key in asked]
    # A call may use a version from the moment its release began until the next one's commit had returned.
    ends = [done for _, done, _ in switches[1:]] + [float("inf")]
    reigns = [(began, end, key) for (began, _, key), end in zip(switches, ends, strict=True)]
    late = [
        call
        for call in calls
        if not any(began <= call[1] and call[0] <= end and key == call[2] for began, end, key in reigns)
    ]
    assert len(calls) > least
    assert {key for _, _, key in calls} == {row.key for row in versions}
    assert late == []


def test_a_release_counts_for_others_when_it_is_committed_and_not_before(
    versions: list[PromptVersion],
) -> None:
    other = connection.copy()
    try:
        with transaction.atomic():
            release("support-answer", versions[1].key, actor="ann", reason="second")
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT prompt_version FROM lockstep_llm_resolve_v1('f', 'support-answer', 'u')"
                )
                assert cursor.fetchone() == (versions[0].key,)
        with other.cursor() as cursor:
            cursor.execute("SELECT prompt_version FROM lockstep_llm_resolve_v1('f', 'support-answer', 'u')")
            assert cursor.fetchone() == (versions[1].key,)
    finally:
        other.close()


def test_releases_made_at_once_are_all_kept_and_the_later_one_is_live(versions: list[PromptVersion]) -> None:
    keys = [row.key for row in versions] * 10
    began = time.time() + 1.5
    racers = [
        start(workers.release_at_once, keys, began, who, environment=environment()) for who in ("ann", "bob")
    ]
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    rows = list(Release.objects.order_by("number"))
    assert [row.number for row in rows] == list(range(1, 42))
    assert [row.at for row in rows] == sorted({row.at for row in rows})
    assert live("support-answer") == rows[-1]
    assert {row.actor for row in rows[1:]} == {"ann", "bob"}
    for who in ("ann", "bob"):  # each one's own order is kept
        assert [row.reason for row in rows[1:] if row.actor == who] == [f"{who} {n}" for n in range(20)]


def test_the_next_process_starts_with_what_is_live(versions: list[PromptVersion], tmp_path: Path) -> None:
    release("support-answer", versions[1].key, actor="ann", reason="second")
    stop = tmp_path / "stop"
    stop.touch()
    assert run(workers.ask_until, str(stop), str(tmp_path / "asked"), environment=environment()) == 0
    assert {line.split()[2] for line in (tmp_path / "asked").read_text().splitlines()} == {versions[1].key}
