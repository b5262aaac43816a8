"""Scores against the formula worked out by hand, k1 = 1.2 and b = 0.75."""

import math

import pytest

from benchmarks.bm25 import BM25

# "cat cat dog" | "dog" | "bird bird bird bird" ; mean length 8/3
POSTINGS = [(0, "cat", 2), (0, "dog", 1), (1, "dog", 1), (2, "bird", 4)]


def impact(tf: int, df: int, length: int) -> float:
    idf = math.log(1 + (3 - df + 0.5) / (df + 0.5))
    return idf * tf / (tf + 1.2 * (1 - 0.75 + 0.75 * length / (8 / 3)))


def test_scores_follow_the_formula() -> None:
    scores = BM25(POSTINGS, documents=3).scores({"cat": 1, "dog": 1})
    assert scores[0] == pytest.approx(impact(2, 1, 3) + impact(1, 2, 3))
    assert scores[1] == pytest.approx(impact(1, 2, 1))
    assert scores[2] == 0


def test_a_lexeme_twice_in_the_query_counts_twice() -> None:
    ranking = BM25(POSTINGS, documents=3)
    assert ranking.scores({"dog": 2})[1] == pytest.approx(2 * ranking.scores({"dog": 1})[1])


def test_only_documents_that_match_are_ranked_and_ties_keep_their_order() -> None:
    ranking = BM25([(0, "a", 1), (1, "a", 1), (2, "b", 1)], documents=4)
    assert ranking.rank({"a": 1, "unknown": 1}, depth=10) == [0, 1]
    assert ranking.rank({"a": 1}, depth=1) == [0]
    assert ranking.rank({"unknown": 1}, depth=10) == []


def test_documents_without_a_lexeme_count_for_the_mean_length() -> None:
    with_empty = BM25([(0, "a", 2), (1, "b", 2)], documents=3).scores({"a": 1})[0]
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    assert with_empty == pytest.approx(idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 2 / (4 / 3))))
