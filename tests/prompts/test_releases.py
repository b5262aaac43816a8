"""A release is one row that the database admits or refuses; who gets which arm follows from it alone."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from lockstep.prompts.arms import LINE, Arm, pick, point
from lockstep.prompts.exceptions import NoPrompt, NoVersion, ReleaseRefused
from lockstep.prompts.models import GateDecision, Prompt, PromptVersion, Release
from lockstep.prompts.releases import live, override_gate, release, roll_back
from tests.prompts.conftest import version

pytestmark = pytest.mark.django_db
WHY = {"actor": "ann", "reason": "shorter answers"}


def resolve(prompt: str = "support-answer", unit: str = "u") -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM lockstep_llm_resolve_v1('support.answer', %s, %s)", [prompt, unit])
        rows = cursor.fetchall()
    assert len(rows) <= 1
    return rows[0] if rows else None


def resolved(units: list[str], prompt: str = "support-answer") -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.arm FROM unnest(%s::text[]) WITH ORDINALITY AS u(unit, n),"
            " lockstep_llm_resolve_v1('f', %s, u.unit) AS r ORDER BY u.n",
            [units, prompt],
        )
        return [arm for (arm,) in cursor.fetchall()]


def two() -> tuple[PromptVersion, PromptVersion]:
    return version(text="One {question}"), version(text="Two {question}")


def split(*weights: int) -> list[Arm]:
    keys = [version(text=f"{number} {{question}}").key for number in range(len(weights))]
    return [Arm("abcdef"[number], keys[number], weight) for number, weight in enumerate(weights)]


# --- what is live ---------------------------------------------------------------------------------


def test_without_a_release_nothing_is_live() -> None:
    version()
    assert resolve() is None
    assert live("support-answer") is None


def test_the_next_call_uses_what_was_released() -> None:
    one, other = two()
    first = release("support-answer", one.key, **WHY)
    one.refresh_from_db()
    assert resolve() == (one.key, "a", first.pk, "", one.nbytes)
    second = release("support-answer", other.short, **WHY)
    assert (resolve() or ())[:3] == (other.key, "a", second.pk)
    assert (first.number, second.number) == (1, 2)
    assert second.at > first.at
    assert resolve("another-prompt") is None


def test_the_arm_names_the_model_else_the_version_does() -> None:
    plain, named = two()[0], version(text="{question}", parameters={"model": "openai:small"})
    release("support-answer", named.key, **WHY)
    assert (resolve() or ())[3] == "openai:small"
    release("support-answer", [Arm("a", named.key, 1, "openai:large")], **WHY)
    assert (resolve() or ())[3] == "openai:large"
    release("support-answer", plain.key, **WHY)
    assert (resolve() or ())[3] == ""


def test_environments_have_releases_of_their_own() -> None:
    one, other = two()
    release("support-answer", one.key, **WHY)
    release("support-answer", other.key, environment="staging", **WHY)
    assert (resolve() or ())[0] == one.key
    assert (resolve("support-answer@staging") or ())[0] == other.key
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lockstep.environment = 'staging'")
    assert (resolve() or ())[0] == other.key
    assert (resolve("support-answer@production") or ())[0] == one.key


# --- sticky arms ----------------------------------------------------------------------------------


def test_python_and_the_database_choose_the_same_arm() -> None:
    chance = random.Random(5)
    units = [f"user-{chance.random()}" for _ in range(2000)] + ["ü", "🙂", "a|b", " "]
    arms = split(50, 1, 333)
    row = release("support-answer", arms, **WHY)
    assert resolved(units) == [pick(arms, point(row.salt, unit)).name for unit in units]


def test_the_order_of_the_form_does_not_matter() -> None:
    arms, places = split(1, 2, 3), [n * LINE // 97 for n in range(97)]
    assert [pick(arms, place) for place in places] == [pick(arms[::-1], place) for place in places]
    assert release("support-answer", arms[::-1], **WHY).split == arms


def test_ten_thousand_users_are_split_by_weight_and_stay_where_they_are() -> None:
    units = [f"user-{n}" for n in range(10_000)]
    release("support-answer", split(70, 20, 10), **WHY)
    first = resolved(units)
    for arm, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        sigma = math.sqrt(10_000 * share * (1 - share))
        assert abs(Counter(first)[arm] - 10_000 * share) < 3.5 * sigma
    assert resolved(units) == first


def test_a_changed_weight_moves_only_the_users_whose_share_changed_hands() -> None:
    units = [f"user-{n}" for n in range(10_000)]
    release("support-answer", split(90, 10), **WHY)
    before = resolved(units)
    release("support-answer", split(75, 25), **WHY)
    after = resolved(units)
    moved = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    assert set(moved) == {("a", "b")}
    assert abs(moved["a", "b"] - 1500) < 3.5 * math.sqrt(10_000 * 0.15 * 0.85)


def test_an_arm_keeps_its_users_when_its_version_changes() -> None:
    units, arms = [f"user-{n}" for n in range(500)], split(50, 50)
    release("support-answer", arms, **WHY)
    before = resolved(units)
    newer = version(text="Newer {question}")
    release("support-answer", [arms[0], Arm("b", newer.key, 50)], **WHY)
    assert resolved(units) == before


def test_other_prompts_split_the_same_users_otherwise() -> None:
    units = [f"user-{n}" for n in range(2000)]
    for prompt in ("one", "two"):
        key = version(prompt).key
        release(prompt, [Arm("a", key, 50), Arm("b", key, 50)], **WHY)
    same = sum(x == y for x, y in zip(resolved(units, "one"), resolved(units, "two"), strict=True))
    assert 850 < same < 1150


def test_calls_of_nobody_are_split_by_chance() -> None:
    release("support-answer", split(50, 50), **WHY)
    counts = Counter(resolved([""] * 2000))
    assert abs(counts["a"] - 1000) < 120


# --- what is refused ------------------------------------------------------------------------------


def arms_of(key: str) -> dict[str, Any]:
    good = {"name": "a", "version": key, "weight": 1}
    return {
        "no arm": [],
        "no list": {"a": 1},
        "no object": ["a"],
        "an unknown version": [good | {"version": "0" * 64}],
        "a null version": [good | {"version": None}],
        "a weight of zero": [good | {"weight": 0}],
        "a negative weight": [good | {"weight": -5}],
        "half a weight": [good | {"weight": 0.5}],
        "a weight in words": [good | {"weight": "many"}],
        "no weight": [{"name": "a", "version": key}],
        "a huge weight": [good | {"weight": 10**9}],
        "two arms of one name": [good, good],
        "no name": [good | {"name": ""}],
        "an odd name": [good | {"name": "A B"}],
        "twenty-one arms": [good | {"name": f"a{n}"} for n in range(21)],
    }


@pytest.mark.parametrize("fault", arms_of(""))
def test_a_split_that_means_nothing_is_refused_by_the_database(fault: str) -> None:
    row = version()
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Release.objects.create(prompt_id="support-answer", arms=arms_of(row.key)[fault], **WHY)
    assert "lockstep_prompts_release" in str(caught.value.__cause__.diag.constraint_name)  # type: ignore[union-attr]
    assert not Release.objects.exists()


def test_the_version_of_another_prompt_is_refused_with_a_reason() -> None:
    version("support-answer")
    stranger = version("other-prompt", text="Other {question}")
    with pytest.raises(ReleaseRefused, match="belongs to another prompt than support-answer"):
        release("support-answer", stranger.key, **WHY)
    with pytest.raises(NoVersion):
        release("support-answer", stranger.short, **WHY)
    with pytest.raises(NoPrompt):
        release("no-prompt", stranger.key, **WHY)


@pytest.mark.parametrize("lacking", ["actor", "reason"])
def test_a_release_without_a_person_or_a_reason_is_refused(lacking: str) -> None:
    key = version().key
    with pytest.raises(ReleaseRefused, match="actor and a reason"):
        release("support-answer", key, **(WHY | {lacking: " \t"}))


def test_a_refusal_leaves_the_transaction_of_the_caller_usable() -> None:
    key = version().key
    with pytest.raises(ReleaseRefused):
        release("support-answer", [Arm("a", key, 0)], **WHY)
    assert release("support-answer", key, **WHY).number == 1


TAMPERING = [
    "UPDATE lockstep_prompts_release SET reason = 'other'",
    "UPDATE lockstep_prompts_release SET at = now() + interval '1 day'",
    "DELETE FROM lockstep_prompts_release",
    "UPDATE lockstep_prompts_gatedecision SET passed = true",
    "DELETE FROM lockstep_prompts_gatedecision",
]


@pytest.mark.parametrize("statement", TAMPERING)
def test_the_record_of_releases_and_verdicts_cannot_be_changed(statement: str) -> None:
    row = version()
    release("support-answer", row.key, **WHY)
    GateDecision.objects.create(version=row, passed=False, source="suite")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_numbers_and_times_are_the_databases_and_cannot_be_forged() -> None:
    row = version()
    made = Release.objects.create(
        prompt_id="support-answer", number=77, at="2001-01-01T00:00Z", arms=arms_of(row.key)["no arm"] or
        [{"name": "a", "version": row.key, "weight": 1}], **WHY
    )  # fmt: skip
    made.refresh_from_db()
    assert made.number == 1
    assert made.at.year > 2001


def test_a_clock_that_goes_back_changes_nothing() -> None:
    one, other = two()
    with connection.cursor() as cursor:
        # a server whose clock ran a day ahead when the first release was made
        cursor.execute("ALTER TABLE lockstep_prompts_release DISABLE TRIGGER lockstep_release")
        Release.objects.create(
            prompt_id="support-answer", number=1, salt="s", arms=[Arm("a", one.key, 1).as_json()], **WHY
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE lockstep_prompts_release DISABLE TRIGGER lockstep_append_only")
        cursor.execute("UPDATE lockstep_prompts_release SET at = now() + interval '1 day'")
        cursor.execute("ALTER TABLE lockstep_prompts_release ENABLE TRIGGER USER")
    second = release("support-answer", other.key, **WHY)
    assert (resolve() or ())[0] == other.key
    assert second.at > Release.objects.get(number=1).at


# --- roll-back ------------------------------------------------------------------------------------


def test_a_roll_back_is_one_row_that_copies_an_earlier_one() -> None:
    arms = split(60, 40)
    first = release("support-answer", arms, **WHY)
    release("support-answer", version(text="Bad {question}").key, **WHY)
    units = [f"u{n}" for n in range(200)]
    back = roll_back("support-answer", actor="bob", reason="wrong answers")
    assert Release.objects.count() == 3
    assert (back.number, back.copied_from, back.split) == (3, first, arms)
    assert (back.actor, back.reason, back.salt) == ("bob", "wrong answers", first.salt)
    assert resolved(units) == [pick(arms, point(first.salt, unit)).name for unit in units]


def test_a_roll_back_goes_to_the_last_other_split_and_a_second_one_further() -> None:
    keys = [version(text=f"{n} {{question}}").key for n in range(3)]
    for key in [*keys, keys[2]]:
        release("support-answer", key, **WHY)

    def back(**options: Any) -> str:
        return roll_back("support-answer", actor="bob", reason="r", **options).split[0].version

    assert back() == keys[1]
    assert back() == keys[0]
    assert back(to=3) == keys[2]


def test_a_roll_back_needs_a_reason_and_somewhere_to_go() -> None:
    one, other = two()
    with pytest.raises(ReleaseRefused, match="no earlier release"):
        roll_back("support-answer", actor="bob", reason="r")
    release("support-answer", one.key, **WHY)
    with pytest.raises(ReleaseRefused, match="no earlier release"):
        roll_back("support-answer", actor="bob", reason="r")
    release("support-answer", other.key, **WHY)
    with pytest.raises(ReleaseRefused, match="reason"):
        roll_back("support-answer", actor="bob", reason=" ")
    with pytest.raises(ReleaseRefused, match="no release 9"):
        roll_back("support-answer", actor="bob", reason="r", to=9)


def test_a_copy_is_exact_and_of_the_own_history() -> None:
    one, other = two()
    first = release("support-answer", one.key, **WHY)
    foreign = release("other", version("other").key, **WHY)
    copied = {"prompt_id": "support-answer", **WHY}
    with pytest.raises(IntegrityError, match="not one of this prompt"), transaction.atomic():
        Release.objects.create(copied_from=foreign, **copied)
    with pytest.raises(IntegrityError, match="has the arms"), transaction.atomic():
        Release.objects.create(copied_from=first, arms=[Arm("a", other.key, 1).as_json()], **copied)


# --- the gate -------------------------------------------------------------------------------------


def gated() -> PromptVersion:
    row = version(text="Gated {question}")
    Prompt.objects.update(release_policy=Prompt.Policy.GATED)
    return row


def decide(row: PromptVersion, passed: bool) -> None:
    GateDecision.objects.create(version=row, passed=passed, source="support-suite")


def test_an_open_prompt_releases_what_nobody_judged() -> None:
    assert release("support-answer", version().key, **WHY).number == 1


def test_a_gated_prompt_refuses_what_has_not_passed_last() -> None:
    row = gated()
    with pytest.raises(ReleaseRefused, match="has no decision"):
        release("support-answer", row.key, **WHY)
    decide(row, True)
    decide(row, False)
    with pytest.raises(ReleaseRefused, match="did not pass"):
        release("support-answer", row.key, **WHY)
    decide(row, True)
    assert release("support-answer", row.key, **WHY).override_by == ""


def test_the_gate_stands_in_the_database_and_for_every_arm() -> None:
    good, bad = gated(), version(text="Unjudged {question}")
    decide(good, True)
    with (
        pytest.raises(DatabaseError, match="has no decision"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO lockstep_prompts_release (prompt_id, environment, number, arms, salt, actor, reason, ticket,"
            " override_by, override_reason) SELECT 'support-answer', 'production', 1, jsonb_build_array("
            " jsonb_build_object('name', 'a', 'version', %s::text, 'weight', 99),"
            " jsonb_build_object('name', 'b', 'version', %s::text, 'weight', 1)), '', 'ann', 'because', '', '', ''",
            [good.key, bad.key],
        )


def test_a_verdict_on_the_same_text_under_another_name_does_not_count() -> None:
    row = gated()
    decide(version("other", text="Gated {question}"), True)
    with pytest.raises(ReleaseRefused, match="has no decision"):
        release("support-answer", row.key, **WHY)


def test_a_second_person_may_override_with_a_reason_and_the_first_may_not() -> None:
    row = gated()
    for person in ("ann", " Ann "):
        with pytest.raises(ReleaseRefused, match="second person"):
            release("support-answer", row.key, override_by=person, override_reason="urgent", **WHY)
    with pytest.raises(ReleaseRefused, match="needs a reason"):
        release("support-answer", row.key, override_by="bob", **WHY)
    made = release("support-answer", row.key, override_by="bob", override_reason="urgent", **WHY)
    assert (made.override_by, made.override_reason) == ("bob", "urgent")


def test_an_override_given_beforehand_serves_others_and_is_written_on_their_release() -> None:
    row = gated()
    override_gate(row, by="bob", reason="the suite is down")
    with pytest.raises(ReleaseRefused, match="second person"):
        release("support-answer", row.key, actor="BOB", reason="r")
    made = release("support-answer", row.key, **WHY)
    assert (made.override_by, made.override_reason) == ("bob", "the suite is down")
    with pytest.raises(ReleaseRefused):
        override_gate(row, by="bob", reason=" ")


def test_a_roll_back_passes_a_gate_that_came_later() -> None:
    one, other = two()
    release("support-answer", one.key, **WHY)
    release("support-answer", other.key, **WHY)
    Prompt.objects.update(release_policy=Prompt.Policy.GATED)
    assert roll_back("support-answer", actor="bob", reason="r").split[0].version == one.key
