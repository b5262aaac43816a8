"""Codes with a slip of the finger, and codes cut short."""

from __future__ import annotations

import pytest

from benchmarks.beir import Collection, Document, LabelledQuery
from benchmarks.exceptions import MalformedData
from benchmarks.spoiled import spoiled, squashed

CODES = ("DV7-1211EA", "920-012875", "C4814A", "SM-T545NZKADBT", "77020", "LC-3219XL")


def collection(kind: str = "exact") -> Collection:
    documents = tuple(Document(f"d{i}", code, "", {"part_number": (code,)}) for i, code in enumerate(CODES))
    others = (Document("d9", "DV7-1211-XX", "", {"part_number": ("DV7-1211-XX",)}),)
    return Collection(
        name="codes",
        documents=documents + others,
        queries=tuple(LabelledQuery(f"q{i}", code, kind) for i, code in enumerate(CODES)),
        qrels={f"q{i}": {f"d{i}": 1} for i in range(len(CODES))},
    )


def test_a_typo_is_one_slip_and_should_find_what_the_code_finds() -> None:
    made = [query for query in spoiled(collection()).queries if query.kind == "typo"]
    assert made
    for query in made:
        code = CODES[int(query.key[1])]
        assert squashed(query.text) != squashed(code)
        assert query.text[0] == code[0]
        assert abs(len(query.text) - len(code)) <= 1
        assert spoiled(collection()).qrels[query.key] == {f"d{query.key[1]}": 1}


def test_a_prefix_should_find_every_code_that_begins_so() -> None:
    made = spoiled(collection())
    (query,) = [q for q in made.queries if q.key == "q0-prefix"]
    assert query.text == "DV7-12"
    assert made.qrels["q0-prefix"] == {"d0": 1, "d9": 1}


def test_short_codes_are_left_out_and_the_same_collection_gives_the_same() -> None:
    assert not [query for query in spoiled(collection()).queries if query.key.startswith("q4")]
    assert spoiled(collection()) == spoiled(collection())


def test_a_collection_without_codes_says_so() -> None:
    with pytest.raises(MalformedData, match="nothing to spoil"):
        spoiled(collection(kind="spaced"))
