"""Chunks: spans of the text that lose nothing, fit the model and follow the structure."""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.search.chunking import Chunks, chunk
from lockstep.search.chunking.atoms import MOST_MARKS
from lockstep.search.embedders import Embedder
from lockstep.search.embedders.hashing import Hashing
from lockstep.search.embedders.minilm import MiniLM
from lockstep.search.embedders.openai import OpenAICompatible
from lockstep.search.exceptions import EmbedderMisconfigured

HASHING = Hashing(max_tokens=64)

FRAGMENTS = [
    "word", "Word.", "Really? ", "e.g. ", "Dr. Smith ", "3.14 ", " ", "\n", "\n\n", "\r\n", "\r", "\t", "\f", "\u2028",
    "# Heading\n", "Title\n=====\n", "= = Wiki = =\n", "- item\n", "1. first\n", "| a | b |\n", "|---|---|\n", "```\n",
    "~~~python\n", "<p>html</p>", "<br>", "é", "e\u0301\u0323", "👩‍👩‍👧‍👦", "👍🏽", "🇬🇧🇫🇷", "❤️", "日本語。", "「文」",
    "ภาษาไทย", "שלום ", "مرحبا؟ ", "नमस्ते।", "\u200b", "\u00ad", "\x00", "\ufeff", "x" * 200, "...", "…", ";", ",",
    '."', "aaa bbb " * 40,
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=20), max_size=60).map("".join)


def pieces(text: str, chunks: Chunks) -> list[str]:
    return [text[each.start : each.end] for each in chunks]


def sentences(count: int, words: int = 8) -> str:
    """Numbered sentences, each of ``words`` words and a full stop."""
    return " ".join(f"S{number} " + "word " * (words - 2) + "end." for number in range(count))


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    try:
        return MiniLM()
    except EmbedderMisconfigured as absent:
        pytest.skip(str(absent))


# --- nothing is lost -----------------------------------------------------------------------------------


def check(text: str, embedder: Embedder, **options: int) -> None:
    chunks = chunk(text, embedder=embedder, max_chunks=10**6, **options)
    most = min(options.get("max_tokens", 512), embedder.max_tokens)
    reached = 0
    for no, each in enumerate(chunks):
        piece = text[each.start : each.end]
        assert each.no == no
        assert piece
        assert piece == piece.strip()
        one_character = len(piece) <= 1 + MOST_MARKS
        assert embedder.count_tokens(piece) <= most or one_character
        assert not text[reached : each.start].strip(), "text between two chunks is lost"
        reached = max(reached, each.end)
    assert not text[reached:].strip(), "text at the end is lost"
    assert [each.start for each in chunks] == sorted({each.start for each in chunks})
    assert not chunks.truncated


@given(TEXTS, st.integers(1, 64), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_every_character_that_is_not_space_stands_in_a_chunk_that_fits(
    text: str, max_tokens: int, overlap_tokens: int
) -> None:
    check(text, HASHING, max_tokens=max_tokens, overlap_tokens=overlap_tokens)


@given(TEXTS, st.integers(3, 64))
@settings(max_examples=60, deadline=None)
def test_the_same_holds_for_a_real_tokeniser(minilm: MiniLM, text: str, max_tokens: int) -> None:
    check(text.encode("utf-8", "replace").decode(), minilm, max_tokens=max_tokens)


@given(TEXTS, st.integers(8, 64))
@settings(max_examples=60, deadline=None)
def test_the_same_holds_for_estimated_tokens(text: str, max_tokens: int) -> None:
    check(text, OpenAICompatible(), max_tokens=max_tokens)


@pytest.mark.parametrize(
    "letter",
    ["e\u0301\u0323", "👩‍👩‍👧‍👦", "👍🏽", "❤️", "क्षि", "กำ"],
    ids=lambda letter: letter.encode("unicode_escape").decode(),
)
def test_a_letter_is_not_parted_from_its_marks(letter: str) -> None:
    text = letter * 500
    for piece in pieces(text, chunk(text, embedder=OpenAICompatible(), max_tokens=12)):
        assert piece.replace(letter, "") == ""


def test_flags_are_not_parted() -> None:
    text = "🇬🇧🇫🇷" * 200
    for piece in pieces(text, chunk(text, embedder=OpenAICompatible(), max_tokens=12)):
        assert len(piece) % 2 == 0


def test_windows_line_ends_chunk_like_others() -> None:
    text = "# One\n\nA first text. And more.\n\n- item\n- item\n\n# Two\n\n" + sentences(20)
    other = text.replace("\n", "\r\n")
    ours = pieces(text, chunk(text, embedder=HASHING))
    assert [piece.replace("\r\n", "\n") for piece in pieces(other, chunk(other, embedder=HASHING))] == ours


@pytest.mark.parametrize("text", ["", " ", "\n\r\n\t", "\u2028\u00a0"])
def test_a_text_of_space_has_no_chunks(text: str) -> None:
    chunks = chunk(text, embedder=HASHING)
    assert chunks == []
    assert not chunks.truncated


# --- structure -----------------------------------------------------------------------------------------


def test_a_short_text_is_one_chunk_without_the_space_around_it() -> None:
    text = "  # Title\n\nA sentence. Another.\n "
    assert pieces(text, chunk(text, embedder=HASHING)) == [text.strip()]


@pytest.mark.parametrize(
    "heading",
    ["## Second part", "Second part\n-----------", "= = Second part = ="],
    ids=["hash", "underline", "wiki"],
)
def test_a_section_begins_a_chunk_and_keeps_its_heading(heading: str) -> None:
    text = f"# First\n\n{sentences(4)}\n\n{heading}\n\n{sentences(4)}"
    _, second = pieces(text, chunk(text, embedder=HASHING))
    assert second.startswith(heading)


def test_a_heading_goes_with_what_follows_even_where_the_chunk_had_room_for_it() -> None:
    text = f"{sentences(6)}\n\n# Heading\n\n## Below it\n\n{sentences(4)}"
    for piece in pieces(text, chunk(text, embedder=HASHING)):
        assert not piece.rstrip().endswith(("Heading", "Below it"))


def test_a_title_without_marks_goes_with_what_follows() -> None:
    text = f"{sentences(6)}\n\nHow to return a product\n\n{sentences(4)}"
    first, second = pieces(text, chunk(text, embedder=HASHING, overlap_tokens=0))
    assert "How" not in first
    assert second.startswith("How to return a product")


def test_paragraphs_are_kept_whole_where_they_fit() -> None:
    text = "\n\n".join([sentences(4, 9)] * 3)
    assert pieces(text, chunk(text, embedder=HASHING, overlap_tokens=0)) == [sentences(4, 9)] * 3


def test_a_list_is_cut_between_items() -> None:
    items = [f"- item {number} " + "word " * 10 for number in range(12)]
    for piece in pieces("\n".join(items), chunk("\n".join(items), embedder=HASHING)):
        assert piece.startswith("- item")


def test_a_table_is_cut_between_rows() -> None:
    text = "| name | price |\n|---|---|\n" + "\n".join(f"| product {n} | {n} pounds |" for n in range(40))
    for piece in pieces(text, chunk(text, embedder=HASHING)):
        assert piece.startswith("|")
        assert piece.endswith("|")


def test_a_code_block_that_fits_is_not_cut_and_hashes_in_it_are_no_headings() -> None:
    code = "```python\n# not a heading\nx = 1.\ny = 2\n```"
    text = f"{sentences(5)}\n\n{code}\n\n{sentences(5)}"
    assert any(code in piece for piece in pieces(text, chunk(text, embedder=HASHING)))


def test_code_is_cut_between_lines() -> None:
    text = "```\n" + "\n".join(f"value_{n} = call({n})" for n in range(60)) + "\n```"
    for piece in pieces(text, chunk(text, embedder=HASHING))[1:]:
        assert piece.startswith("value_")


def test_lines_wrapped_by_hand_are_one_paragraph() -> None:
    wrapped = "word word word word word word word\n" * 4 + "word word end."
    text = f"{wrapped}\n\n{wrapped}"
    assert pieces(text, chunk(text, embedder=Hashing(max_tokens=40))) == [wrapped, wrapped]


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. J. Smith of Acme Inc. wrote it, cf. vol. 2, and left.",
        "It costs 3.50 pounds, e.g. in No. 10.",
        'He said "Go." and went?',
    ],
)
def test_abbreviations_initials_and_numbers_end_no_sentence(sentence: str) -> None:
    size = HASHING.count_tokens(sentence)
    text = " ".join([sentence] * 6)
    found = pieces(text, chunk(text, embedder=HASHING, max_tokens=size + 3, overlap_tokens=0))
    assert found == [sentence] * 6


@pytest.mark.parametrize(
    ("sentence", "space"),
    [
        ("これは日本語の文章です。", ""),
        ("यह एक वाक्य है।", " "),
        ("هل هذا سؤال؟", " "),
        ("<p>A paragraph of HTML</p>", ""),
    ],
    ids=["Japanese", "Hindi", "Arabic", "HTML"],
)
def test_sentences_of_other_scripts_end_too(sentence: str, space: str) -> None:
    embedder = OpenAICompatible()
    size = embedder.count_tokens(sentence)
    text = space.join([sentence] * 6)
    found = pieces(text, chunk(text, embedder=embedder, max_tokens=size + 2, overlap_tokens=0))
    assert found == [sentence] * 6


def test_a_long_sentence_is_cut_between_words() -> None:
    text = "these are words without any end " * 60
    for piece in pieces(text, chunk(text, embedder=HASHING)):
        assert set(piece.split()) <= set(text.split())


# --- overlap, remainder, limits --------------------------------------------------------------------------


def test_whole_sentences_are_repeated_within_a_section() -> None:
    text = sentences(30)
    found = pieces(text, chunk(text, embedder=HASHING, overlap_tokens=16))
    for before, after in pairwise(found):
        repeated = after[: after.index("end.") + 4]
        assert repeated in before
        assert HASHING.count_tokens(repeated) <= 16


def test_nothing_is_repeated_across_a_heading_or_when_no_overlap_is_wanted() -> None:
    text = f"{sentences(5)}\n\n# Next\n\n{sentences(5)}"
    first, second = chunk(text, embedder=HASHING)
    assert first.end < second.start
    spans = chunk(sentences(30), embedder=HASHING, overlap_tokens=0)
    assert all(before.end < after.start for before, after in pairwise(spans))


def test_a_small_remainder_is_shared_instead_of_left_alone() -> None:
    text = sentences(8)
    sizes = [
        HASHING.count_tokens(piece) for piece in pieces(text, chunk(text, embedder=HASHING, overlap_tokens=0))
    ]
    assert len(sizes) == 2
    assert min(sizes) > 20


def test_more_chunks_than_allowed_are_left_out_and_said_so() -> None:
    text = sentences(200)
    whole = chunk(text, embedder=HASHING)
    some = chunk(text, embedder=HASHING, max_chunks=5)
    assert (list(some), some.truncated) == (whole[:5], True)
    assert not chunk(text, embedder=HASHING, max_chunks=len(whole)).truncated


def test_prefix_and_special_tokens_are_allowed_for() -> None:
    embedder = Hashing(max_tokens=64, document_prefix="one two three four five: ")
    text = sentences(40)
    for piece in pieces(text, chunk(text, embedder=embedder)):
        assert len(piece.replace(".", " .").split()) <= 64 - 6


def test_no_room_beside_the_prefix_is_an_error() -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        chunk("text", embedder=Hashing(document_prefix="one two three "), max_tokens=3)


def test_a_model_that_reads_much_still_gets_chunks_of_512_tokens_by_default() -> None:
    embedder = OpenAICompatible()
    text = sentences(500)
    sizes = [embedder.count_tokens(piece) for piece in pieces(text, chunk(text, embedder=embedder))]
    assert 400 < max(sizes) <= 512
    assert len(chunk(text, embedder=embedder, max_tokens=8000)) < len(sizes)


# --- time ------------------------------------------------------------------------------------------------


class Counting(Hashing):
    """Counts the characters that it was asked to tokenise."""

    read = 0

    def count_tokens(self, text: str) -> int:
        self.read += len(text)
        return super().count_tokens(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        self.read += len(text)
        return super().token_spans(text)


def test_a_text_is_tokenised_once_and_no_further_than_the_chunks_reach() -> None:
    text, embedder = sentences(20_000), Counting()
    chunk(text, embedder=embedder, max_chunks=10**6)
    assert embedder.read == len(text)
    embedder.read = 0
    chunk(text, embedder=embedder, max_chunks=3)
    assert embedder.read < 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000, "." * 1_000_000, ". " * 250_000, '."' * 500_000, "\n" * 1_000_000, " " * 1_000_000 + "x",
        "= " * 500_000, "# h\n" * 120_000, "- a\n" * 120_000, "a | b\n" * 100_000, "```\n" + "x\n" * 100_000,
        "e" + "\u0301" * 500_000, "日本語" * 300_000, "👩‍👩‍👧‍👦" * 100_000, "a<br>" * 100_000, "\u200b\n" * 500_000,
        "word\r\n" * 170_000,
    ],
    ids=[
        "one word", "dots", "spaced dots", "quotes", "lines", "space", "equals", "headings", "items", "rows", "code",
        "marks", "no spaces", "emoji", "html", "invisible", "crlf",
    ],
)  # fmt: skip
def test_no_kind_of_text_takes_more_than_linear_time(text: str) -> None:
    began = time.process_time()
    chunks = chunk(text, embedder=Hashing(), max_chunks=10**6)
    assert time.process_time() - began < 10
    assert max((each.end - each.start for each in chunks), default=0) <= 20_000


# --- answers stay whole ----------------------------------------------------------------------------------


def share_inside(spans: dict[str, list[tuple[int, int]]], questions: Path) -> float:
    """The share of answer spans that stand wholly inside one chunk."""
    inside = total = 0
    for line in questions.read_text().splitlines():
        question = json.loads(line)
        for answer in question["references"]:
            total += 1
            inside += any(
                start <= answer["start"] and answer["end"] <= end
                for start, end in spans[question["corpus_id"]]
            )
    return inside / total


@pytest.mark.data
@pytest.mark.slow
def test_answers_stand_whole_in_a_chunk_more_often_than_with_chunks_of_fixed_size(
    minilm: MiniLM, labelled_sets: Path
) -> None:
    folder = labelled_sets / "chunk-spans"
    ours: dict[str, list[tuple[int, int]]] = {}
    fixed: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for file in (folder / "corpora").glob("*.md.gz"):
        with gzip.open(file, "rt", encoding="utf-8", newline="") as opened:
            text = opened.read()
        corpus = file.name.removesuffix(".md.gz")
        ours[corpus] = [(each.start, each.end) for each in chunk(text, embedder=minilm, max_chunks=10**6)]
        tokens = minilm.token_spans(text)
        for first in range(0, len(tokens), 254 - 32):  # the same budget and overlap
            last = min(first + 254, len(tokens)) - 1
            fixed[corpus].append((tokens[first][0], tokens[last][1]))
    questions = folder / "questions.jsonl"
    assert share_inside(ours, questions) >= 0.985
    assert share_inside(fixed, questions) <= 0.95
