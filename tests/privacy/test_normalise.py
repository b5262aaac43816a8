"""One spelling, and the way back."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.privacy.normalise import normalise


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("plain", "plain"), ("９４３", "943"), ("٣٤", "34"), ("a\u200bb\u00adc\ufeff", "abc"),
        ("1–2—3−4‑5", "1-2-3-4-5"),
        ("a\u00a0b\u2009c", "a b c"), ("ﬁn", "fin"), ("O’Dea", "O'Dea"), ("é", "é"), ("e\u0301", "e\u0301"),
    ],
)  # fmt: skip
def test_what_looks_the_same_is_spelled_the_same(text: str, spelled: str) -> None:
    assert normalise(text).text == spelled


def test_a_piece_leads_back_to_where_it_came_from() -> None:
    text = "x\u200b９\u200b４ﬁ\u200b!"
    whole = normalise(text)
    assert whole.text == "x94fi!"
    assert text[slice(*whole.original(1, 3))] == "９\u200b４"
    assert text[slice(*whole.original(3, 4))] == "ﬁ"
    assert text[slice(*whole.original(0, 6))] == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_pieces_are_normalised_like_the_whole(first: str, last: str) -> None:
    assert normalise(first + last).text == normalise(first).text + normalise(last).text


@given(st.text(max_size=60))
def test_every_character_leads_back_to_one_that_looks_like_it(text: str) -> None:
    whole = normalise(text)
    for position, character in enumerate(whole.text):
        start, end = whole.original(position, position + 1)
        assert character in normalise(text[start:end]).text
        assert end == start + 1


@given(st.text(max_size=60))
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalise(text).text
    assert unicodedata.normalize("NFKC", normalise(once).text) == unicodedata.normalize("NFKC", once)
