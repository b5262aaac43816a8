"""Which prompts are in production, now and at any time; and whether the ledger saw anything else."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lockstep.llm.models import Call
from lockstep.prompts.models import PromptVersion, Release
from lockstep.prompts.releases import release, roll_back
from lockstep.prompts.reports import in_production, strangers
from tests.prompts.conftest import version

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def backdated() -> Iterator[Any]:
    """Makes releases at stated times: the trigger that stamps them is off for the test."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE lockstep_prompts_release DISABLE TRIGGER lockstep_release")

    def make(row: PromptVersion, at: datetime, **facts: Any) -> Release:
        number = Release.objects.filter(prompt=row.prompt_id).count() + 1
        arms = [{"name": "a", "version": row.key, "weight": 1, "model": ""}]
        facts = {"actor": "ann", "reason": "r", "salt": "s", **facts}
        return Release.objects.create(prompt_id=row.prompt_id, number=number, at=at, arms=arms, **facts)

    yield make
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE lockstep_prompts_release ENABLE TRIGGER lockstep_release")


def call(row: PromptVersion | None, made: Release | None, at: datetime, **facts: Any) -> Call:
    values = {
        "prompt": row.prompt_id if row else "",
        "prompt_version": row.key if row else "",
        "release_id": made.pk if made else None,
        "arm": "a",
        "operation": "chat",
        "provider": "openai",
        "request_model": "m",
        "state": "settled",
        "invocation": uuid.uuid4(),
        "bound_input": 1,
        "bound_output": 1,
        "tools": [],
        **facts,
    }
    return Call.objects.create(id=uuid.uuid4(), at=at, **values)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("lockstep_prompts", "in-production", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_report_says_what_is_live_with_weights_who_and_why(django_assert_num_queries: Any) -> None:
    one, other = (
        version(text="One {question}"),
        version(text="Two {question}", parameters={"model": "openai:x"}),
    )
    arms = [{"name": "a", "version": one.key, "weight": 3}, {"name": "b", "version": other.key, "weight": 1}]
    release("support-answer", arms, actor="ann", reason="trial", ticket="T-9")
    release("other-prompt", version("other-prompt").key, actor="bob", reason="start")
    with django_assert_num_queries(2):
        other_prompt, support = in_production()
    assert (other_prompt.prompt, other_prompt.actor) == ("other-prompt", "bob")
    assert (support.release, support.actor, support.reason, support.ticket) == (1, "ann", "trial", "T-9")
    assert [(arm.version, arm.share, arm.model) for arm in support.arms] == [
        (one.key, 0.75, ""),
        (other.key, 0.25, "openai:x"),
    ]
    said = run()
    assert "support-answer  release 1 since" in said
    assert "by ann (T-9): trial" in said
    assert f"b  {other.short}  25 %  openai:x" in said


def test_the_report_at_a_thousand_times_agrees_with_the_releases_of_those_times(backdated: Any) -> None:
    chance = random.Random(3)
    rows = [version(text=f"{number} {{question}}") for number in range(5)]
    at, made = START, []
    for _ in range(30):
        at += timedelta(seconds=chance.randrange(1, 90_000))
        made.append(backdated(chance.choice(rows), at))
    for _ in range(1000):
        moment = START + timedelta(seconds=chance.uniform(0, (at - START).total_seconds() * 1.1))
        before = [row for row in made if row.at <= moment]
        found = in_production(moment)
        assert [row.release_id for row in found] == ([before[-1].pk] if before else [])
        if before:
            assert found[0].arms[0].version == before[-1].arms[0]["version"]


def test_the_report_as_json_has_stable_names() -> None:
    release("support-answer", version().key, actor="ann", reason="r")
    answer = json.loads(run("--json"))
    (prompt,) = answer["prompts"]
    assert set(answer) == {"at", "prompts"}
    assert set(prompt) == {
        "prompt", "environment", "release", "release_id", "since", "actor", "reason", "ticket", "override_by", "arms",
    }  # fmt: skip
    assert set(prompt["arms"][0]) == {"arm", "version", "weight", "share", "model", "source"}
    attested = json.loads(run("--json", "--attest"))
    assert (attested["attested"], attested["strangers"]) == (True, [])


def test_nothing_released_is_said_and_times_are_read_as_iso_8601() -> None:
    assert "Nothing is released in production." in run()
    release("support-answer", version().key, actor="ann", reason="r")
    assert "Nothing is released" in run("--at", "2020-01-01")
    assert "Nothing is released" in run("--at", "2020-01-01T10:00:00+02:00")
    assert "Nothing is released in staging." in run("--environment", "staging")
    with pytest.raises(CommandError, match="--at"):
        run("--at", "yesterday")


# --- attestation ----------------------------------------------------------------------------------


def test_a_ledger_that_saw_only_what_was_live_is_attested(backdated: Any) -> None:
    one, other = version(text="One {question}"), version(text="Two {question}")
    first = backdated(one, START)
    second = backdated(other, START + timedelta(hours=5))
    for row, made, hour in ((one, first, 1), (one, first, 4), (other, second, 6)):
        call(row, made, START + timedelta(hours=hour))
    # begun before the switch committed, stamped after
    call(one, first, START + timedelta(hours=5, milliseconds=80))
    call(None, None, START + timedelta(hours=6))  # no prompt at all: not this report's matter
    call(other, None, START + timedelta(hours=6), state="refused")
    assert strangers(START + timedelta(hours=8)) == []


def test_each_kind_of_stranger_is_named(backdated: Any) -> None:
    one, other, third = (version(text=f"{number} {{question}}") for number in range(3))
    first = backdated(one, START)
    second = backdated(other, START + timedelta(days=10))
    late = START + timedelta(days=20)
    call(one, first, late)  # was live once, long before the window
    call(third, second, late)  # names a release that does not have it
    call(third, second, late + timedelta(minutes=1))
    call(other, None, late)  # without a release
    call(other, second, late)  # this one is in order
    call(version("elsewhere", text="1 {question}"), second, late)  # another prompt's release
    found = strangers(late + timedelta(hours=1))
    assert sorted((row.prompt, row.version, row.calls) for row in found) == sorted(
        [
            ("elsewhere", other.key, 1),
            ("support-answer", one.key, 1),
            ("support-answer", third.key, 2),
            ("support-answer", other.key, 1),
        ]
    )
    assert strangers(late - timedelta(hours=1)) == []


def test_attest_ends_with_an_error_that_names_the_strangers() -> None:
    row = version()
    made = release("support-answer", row.key, actor="ann", reason="r")
    call(row, made, datetime.now(UTC))
    assert "saw nothing else" in run("--attest")
    call(row, None, datetime.now(UTC), prompt_version="f" * 64)
    with pytest.raises(CommandError, match="1 version") as caught:
        run("--attest")
    assert caught.value.returncode == 1
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("lockstep_prompts", "in-production", "--attest", stdout=out, stderr=out)
    assert f"stranger: support-answer {'f' * 64}, 1 calls" in out.getvalue()


def test_calls_after_a_roll_back_are_explained_by_it() -> None:
    one, other = version(text="One {question}"), version(text="Two {question}")
    for row in (one, other):
        release("support-answer", row.key, actor="ann", reason="r")
    back = roll_back("support-answer", actor="bob", reason="r")
    call(one, back, datetime.now(UTC))
    assert strangers() == []


def test_calls_of_another_environment_are_not_strangers_here() -> None:
    row = version()
    made = release("support-answer", row.key, actor="ann", reason="r", environment="staging")
    call(row, made, datetime.now(UTC))
    assert strangers() == []
    assert strangers(environment="staging") == []
