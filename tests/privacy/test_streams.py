"""A text in pieces becomes what the whole becomes, wherever it is split."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.privacy import declared
from lockstep.privacy.redaction import CallRedactor
from tests.privacy.canaries import CANARIES, CLEAN
from tests.privacy.test_redaction import TEXTS

SENTENCES = [sentence.format(value) for rows in CANARIES.values() for value, sentence in rows]
PROSE = "Thank you for your message, we shall come back to you as soon as somebody had a look at it. " * 3


def whole(feature: str, text: str) -> str:
    copy = CallRedactor(feature).redact(text)
    assert copy is not None
    return copy.text


def streamed(feature: str, pieces: list[str]) -> tuple[str, list[str]]:
    stream = CallRedactor(feature).stream()
    copies = [stream.feed(piece) for piece in pieces] + [stream.close()]
    handed = [copy.text if copy else "" for copy in copies]
    total = stream.whole
    assert total is not None
    assert total.text == "".join(handed)
    return total.text, handed


@pytest.mark.parametrize("sentence", SENTENCES + list(CLEAN), ids=lambda text: text[:30])
def test_every_split_of_a_sentence_gives_the_same_as_the_whole(feature: str, sentence: str) -> None:
    expected = whole(feature, sentence)
    for at in range(1, len(sentence)):
        assert streamed(feature, [sentence[:at], sentence[at:]])[0] == expected


@pytest.mark.parametrize("kind", CANARIES)
def test_every_split_inside_a_long_text_gives_the_same_as_the_whole(feature: str, kind: str) -> None:
    middle = " ".join(sentence.format(value) for value, sentence in CANARIES[kind])
    text = f"{PROSE}{middle} {PROSE}"
    expected = whole(feature, text)
    start = len(PROSE)
    for at in range(start, start + len(middle)):
        assert streamed(feature, [text[:at], text[at:]])[0] == expected
    assert streamed(feature, list(text))[0] == expected


def test_the_corpus_in_random_pieces(feature: str) -> None:
    chance = random.Random(7)
    rows = SENTENCES + list(CLEAN) + [PROSE]
    for _ in range(6):
        chance.shuffle(rows)
        text = " ".join(rows)
        cuts = sorted(chance.sample(range(len(text)), 200))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert streamed(feature, pieces)[0] == whole(feature, text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, TEXTS, st.integers(1, 40))
def test_any_text_in_pieces_of_any_size(feature: str, first: str, last: str, size: int) -> None:
    text = f"{first} {PROSE}{last} {PROSE}{first}"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert streamed(feature, pieces)[0] == whole(feature, text)


def test_prose_is_handed_on_long_before_the_end(feature: str) -> None:
    _, handed = streamed(feature, list(PROSE * 4))
    before_the_end = "".join(handed[:-1])
    assert len(before_the_end) > len(PROSE) * 4 - 600


def test_json_is_held_back_to_its_end_and_read_as_json(feature: str) -> None:
    text, handed = streamed(feature, list('{"to": "ann\\u0040example.org", "' + "x" * 400 + '": 1}'))
    assert '"[EMAIL_1]"' in text
    assert not any(handed[:-1])


def test_a_long_word_costs_no_more_than_its_length(feature: str) -> None:
    stream = CallRedactor(feature).stream()
    for _ in range(2_000):
        assert stream.feed("QUJD" * 10) is None
    copy = stream.close()
    assert copy is not None
    assert len(copy.text) == 80_000


def test_known_values_are_found_across_pieces(feature: str) -> None:
    declared.known(feature, patient=("name",))

    def pieces() -> Iterator[str]:
        yield from (f"{PROSE} Marga", "ret\nEv", "ans came. ", PROSE)

    stream = CallRedactor(feature, known={"patient": {"name": "Margaret Evans"}}).stream()
    text = "".join(copy.text for piece in pieces() if (copy := stream.feed(piece)))
    last = stream.close()
    text += last.text if last else ""
    assert "[PATIENT_NAME_1] came" in text


def test_under_metadata_a_stream_keeps_nothing() -> None:
    stream = CallRedactor("nobody.knows").stream()
    assert stream.feed("fine weather " * 100) is None
    assert stream.close() is None
    assert stream.whole is None


def test_a_closed_stream_takes_no_more(feature: str) -> None:
    stream = CallRedactor(feature).stream()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.feed("more")
