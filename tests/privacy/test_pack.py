"""R1: every type that the pack claims, plain and in disguise; and what it has to leave alone."""

from __future__ import annotations

import pytest

from lockstep.privacy.detectors.pack import Pack
from lockstep.privacy.normalise import normalise
from lockstep.privacy.patterns import PATTERNS
from tests.privacy.canaries import CANARIES, CLEAN

CASES = [(kind, value, sentence) for kind, rows in CANARIES.items() for value, sentence in rows]
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
LINES = {
    "CARD": "4012 8888\n8888 1881 is my card",
    "NHS": "NHS 943 476\n5919",
    "NINO": "AB 12\n34 56 C",
    "POSTCODE": "SW1A\n1AA",
}


def found(text: str) -> list[tuple[str, str]]:
    whole = normalise(text)
    return [
        (span.type, text[slice(*whole.original(span.start, span.end))]) for span in Pack().find(whole.text)
    ]


def test_every_type_of_the_pack_has_a_canary() -> None:
    assert {pattern.type for pattern in PATTERNS} == set(CANARIES)


@pytest.mark.parametrize(("kind", "value", "sentence"), CASES, ids=lambda part: str(part)[:40])
def test_a_canary_is_found_from_its_first_to_its_last_character(kind: str, value: str, sentence: str) -> None:
    assert (kind, value) in found(sentence.format(value))


@pytest.mark.parametrize(("kind", "value", "sentence"), CASES, ids=lambda part: str(part)[:40])
def test_a_canary_is_found_in_full_width_digits_and_with_characters_that_take_no_room(
    kind: str, value: str, sentence: str
) -> None:
    disguised = "\u200b".join(value).translate(FULL_WIDTH)
    assert (kind, disguised) in found(sentence.format(disguised))


@pytest.mark.parametrize(("kind", "text"), LINES.items())
def test_a_line_may_break_inside_a_value(kind: str, text: str) -> None:
    assert [one for one, _ in found(text)] == [kind]


@pytest.mark.parametrize("text", CLEAN, ids=lambda text: text[:30])
def test_what_is_nobodys_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("943 476 5918 is one digit off", "NHS"),
        ("4012888888881882", "CARD"),
        ("BG123612A and FQ 00 00 00 C are not allocated", "NINO"),
        ("QA1 1AA, VA1 1AA, M1 1AI, ZZ9 9ZZ", "POSTCODE"),
        ("AB00 ABC, AB35 ABC, AB51 AIB", "VEHICLE"),
        ("UTR of the form 12345", "UTR"),
        ("born 31/02/1976, or 21/08/1576", "DATE_OF_BIRTH"),
        ("300.168.1.1, 192.168.1, 1.2.3.4.5", "IP"),
        ("01999 12 is short, 0600 123456 is no range", "PHONE"),
        ("MORGA699054SM9IJ has no such day", "DRIVING_LICENCE"),
    ],
)
def test_a_near_miss_is_not_taken_for_one(text: str, what: str) -> None:
    assert what not in {kind for kind, _ in found(text)}


def test_a_label_names_the_value_behind_it_and_those_that_follow_at_once() -> None:
    assert found("phone 496 0999 or 496 0111, order 496 0222") == [
        ("PHONE", "496 0999"),
        ("PHONE", "496 0111"),
    ]


def test_a_label_does_not_reach_over_another_value_to_the_next_sentence() -> None:
    text = "Please refund to account 55779911. Ticket 7284293 is closed."
    assert found(text) == [("ACCOUNT", "55779911")]


def test_the_nearer_label_decides_the_type() -> None:
    assert found("account 55779911, phone 49609990") == [("ACCOUNT", "55779911"), ("PHONE", "49609990")]


def test_overlapping_findings_become_one_that_covers_both() -> None:
    assert found("https://example.org/?to=ann@example.org") == [
        ("URL", "https://example.org/?to=ann@example.org")
    ]


def test_values_next_to_each_other_are_found_each_for_itself() -> None:
    text = "4012888888881881 4012-8888-8888-1881 4012 8888 8888 1881"
    assert [value for _, value in found(text)] == [
        "4012888888881881",
        "4012-8888-8888-1881",
        "4012 8888 8888 1881",
    ]


def test_types_can_be_chosen_and_left_out() -> None:
    text = "203.0.113.77 https://example.org"
    assert [span.type for span in Pack(types=["IP"]).find(text)] == ["IP"]
    assert [span.type for span in Pack(without=["URL"]).find(text)] == ["IP"]
    with pytest.raises(ValueError, match="no type 'NAME'"):
        Pack(without=["NAME"])
