import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from benchmarks.synthetic import BRANDS, STOP_WORDS, Corpus, Language, SyntheticEmbedder


@pytest.fixture(scope="module")
def language() -> Language:
    return Language()


@pytest.fixture(scope="module")
def corpus(language: Language) -> Corpus:
    return Corpus(2_000, language=language)


def test_the_same_seed_gives_the_same_rows_and_vectors_in_another_process(corpus: Corpus) -> None:
    script = (
        "from benchmarks.synthetic import Corpus, SyntheticEmbedder\n"
        "row = Corpus(2_000).row(17)\n"
        "print(row.title, row.part_number, row.ean, row.brand, Corpus(2_000).queries(3)[2].text)\n"
        "print(SyntheticEmbedder().embed_query(row.text).tobytes().hex()[:64])"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    row = corpus.row(17)
    here = [
        f"{row.title} {row.part_number} {row.ean} {row.brand} {corpus.queries(3)[2].text}",
        SyntheticEmbedder().embed_query(row.text).tobytes().hex()[:64],
    ]
    assert other.stdout.splitlines() == here


def test_documents_have_66_words_of_which_a_third_are_stop_words(corpus: Corpus) -> None:
    words = [f"{row.title} {row.text}".lower().strip(".").split() for row in list(corpus)[:200]]
    assert {len(some) for some in words} == {66}
    share = np.mean([word in STOP_WORDS for some in words for word in some])
    assert share == pytest.approx(0.35, abs=0.02)


def test_word_frequencies_fall_and_the_commonest_is_in_about_a_quarter(corpus: Corpus) -> None:
    found = Counter(word for row in corpus for word in {*row.text.lower().strip(".").split()} - {*STOP_WORDS})
    shares = [count / 2_000 for _, count in found.most_common(200)]
    assert 0.15 < shares[0] < 0.35
    assert shares[100] < shares[0] / 4


def test_part_numbers_are_unique_and_brands_repeat(corpus: Corpus) -> None:
    rows = list(corpus)
    assert len({row.part_number for row in rows}) == len(rows)
    assert len({row.brand for row in rows}) <= BRANDS


def test_vectors_have_length_one_and_lie_in_clusters(language: Language, corpus: Corpus) -> None:
    vectors = np.array([language.embed(f"{row.title} {row.text}") for row in corpus])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    assert np.median(alike.max(axis=1)) > 0.45
    assert abs(np.median(alike)) < 0.1


def test_a_query_lies_near_the_document_that_lent_its_words(language: Language, corpus: Corpus) -> None:
    vectors = np.array([language.embed(f"{row.title} {row.text}") for row in corpus])
    words = [query for query in corpus.queries(100) if query.kind == "words"]
    ranks = [int((vectors @ (v := language.embed(q.text)) > vectors[q.target] @ v).sum()) for q in words]
    assert np.median(ranks) < 10


def test_queries_are_three_to_eight_words_with_brands_and_codes_among_them(corpus: Corpus) -> None:
    queries = corpus.queries(200)
    assert Counter(query.kind for query in queries) == {"words": 140, "brand": 30, "code": 30}
    assert {len(query.text.split()) for query in queries if query.kind == "words"} == set(range(3, 9))
    assert len({query.kind for query in queries[:10]}) == 3
    coded = next(query for query in queries if query.kind == "code")
    squashed = coded.text.replace("-", "").replace(" ", "").lower()
    assert squashed.startswith(corpus.row(coded.target).part_number.replace("-", "").lower())
