"""Every expected value is worked out by hand."""

import math

import pytest

from benchmarks.metrics import ndcg, paired_bootstrap, percentile, recall

JUDGED = {"a": 3, "b": 2, "c": 0, "d": 1}


def test_ndcg_of_the_ideal_order_is_one() -> None:
    assert ndcg(["a", "b", "d"], JUDGED) == pytest.approx(1.0)


def test_ndcg_has_linear_gain_and_a_logarithmic_discount() -> None:
    # found: 2 at rank 1, unjudged at 2, 3 at rank 3; ideal: 3, 2, 1
    gained = 2 / 1 + 3 / 2
    ideal = 3 / 1 + 2 / math.log2(3) + 1 / 2
    assert ndcg(["b", "x", "a"], JUDGED) == pytest.approx(gained / ideal)


def test_ndcg_counts_only_the_first_ten_of_both_orders() -> None:
    judged = {str(n): 1 for n in range(20)}
    ranking = [f"x{n}" for n in range(9)] + ["3", "4"]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, 11))
    assert ndcg(ranking, judged) == pytest.approx((1 / math.log2(11)) / ideal)


def test_ndcg_takes_negative_judgements_for_nothing() -> None:
    assert ndcg(["bad", "good"], {"bad": -1, "good": 1}) == pytest.approx(1 / math.log2(3))


def test_an_empty_ranking_scores_nothing() -> None:
    assert ndcg([], JUDGED) == 0
    assert recall([], JUDGED, depth=100) == 0


def test_recall_counts_documents_judged_one_or_more() -> None:
    assert recall(["c", "a", "x", "d"], JUDGED, depth=50) == pytest.approx(2 / 3)
    assert recall(["c", "a", "x", "d"], JUDGED, depth=2) == pytest.approx(1 / 3)


@pytest.mark.parametrize("measure", [lambda r, j: ndcg(r, j), lambda r, j: recall(r, j, depth=10)])
def test_a_query_without_a_positive_document_is_refused(measure) -> None:
    with pytest.raises(ValueError, match="leave this query out"):
        measure(["a"], {"a": 0})


def test_a_document_ranked_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="ranked twice"):
        ndcg(["a", "b", "a"], JUDGED)


def test_bootstrap_of_equal_scores_is_exactly_nothing() -> None:
    difference = paired_bootstrap([0.2, 0.9, 0.4], [0.2, 0.9, 0.4], samples=100)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert difference.verdict == "no significant difference"


def test_bootstrap_of_a_constant_difference_has_no_width() -> None:
    difference = paired_bootstrap([0.3, 0.5, 0.9], [0.1, 0.3, 0.7], samples=100)
    assert (difference.low, difference.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert difference.verdict == "above"


def test_bootstrap_interval_matches_the_normal_theory_of_the_mean() -> None:
    scores = [0.0, 1.0] * 200
    difference = paired_bootstrap(scores, [0.6] * 400, samples=4000)
    half = 1.96 * 0.5 / math.sqrt(400)
    assert difference.mean == pytest.approx(-0.1)
    assert difference.low == pytest.approx(-0.1 - half, abs=0.006)
    assert difference.high == pytest.approx(-0.1 + half, abs=0.006)
    assert difference.verdict == "below"


def test_bootstrap_is_the_same_for_the_same_seed() -> None:
    a, b = [0.1, 0.5, 0.7, 0.2], [0.3, 0.1, 0.9, 0.0]
    assert paired_bootstrap(a, b, samples=200) == paired_bootstrap(a, b, samples=200)
    assert paired_bootstrap(a, b, samples=200) != paired_bootstrap(a, b, samples=200, seed=2)


def test_bootstrap_refuses_unpaired_scores() -> None:
    with pytest.raises(ValueError, match="one per query"):
        paired_bootstrap([0.1, 0.2], [0.1])


def test_percentile_interpolates() -> None:
    assert percentile([1, 2, 3, 4], 50) == 2.5
    assert percentile(list(range(101)), 95) == 95
    assert math.isnan(percentile([], 50))
