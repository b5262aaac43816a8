"""The embedder of tests: no model, yet similar texts have similar vectors."""

from __future__ import annotations

import pytest

from lockstep.search.embedders.hashing import Hashing


def cosine(one: str, other: str) -> float:
    first, second = Hashing().embed_documents([one, other])
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_texts_that_share_words_are_closer_than_texts_that_share_none() -> None:
    near = cosine("how to cancel a subscription", "cancel my subscription")
    far = cosine("how to cancel a subscription", "weather over northern Scotland")
    assert near > 0.5 > far


def test_forms_of_a_word_are_close_and_case_does_not_matter() -> None:
    assert cosine("cancelling", "cancelled") > 0.4
    assert cosine("Cancel", "cancel") == pytest.approx(1)


def test_a_typo_is_closer_than_another_word() -> None:
    assert cosine("subscription", "subscripton") > cosine("subscription", "invoice")


@pytest.mark.parametrize("text", ["", "   ", "!?", "日本語", "😀"])
def test_every_text_has_a_vector(text: str) -> None:
    assert len(Hashing().embed_query(text)) == 256


def test_words_beyond_the_limit_change_nothing() -> None:
    embedder = Hashing(max_tokens=3)
    assert embedder.embed_query("one two three four") == embedder.embed_query("one two three")
