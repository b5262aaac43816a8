"""Ranks and scores that add up."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.testapp.models import Article

pytestmark = pytest.mark.django_db


def test_rrf_sums_weight_over_k_plus_rank_counted_from_one(library: dict[str, Article]) -> None:
    weights = {"lexical": 2.0, "dense": 0.5}
    for hit in Article.objects.hybrid_search("limescale in the kettle", k=7, weights=weights):
        shares = hit.search_detail["legs"]
        expected = {leg: weights.get(leg, 1.0) / (7 + share["rank"]) for leg, share in shares.items()}
        assert {leg: share["contribution"] for leg, share in shares.items()} == pytest.approx(expected)
        assert hit.search_score == pytest.approx(sum(expected.values()))


def test_ranks_of_a_leg_run_from_one_without_gaps(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search("shelf part", legs=["lexical"], top_n=30)
    assert [hit.search_detail["legs"]["lexical"]["rank"] for hit in hits] == list(range(1, 31))
    assert [hit.search_rank for hit in hits] == list(range(1, 31))


def test_norm_divides_by_the_best_of_the_leg(library: dict[str, Article]) -> None:
    best = Article.objects.hybrid_search("limescale kettle", fusion="norm", legs=["lexical"])[0]
    assert best.search_score == pytest.approx(1.0)
    assert best.search_score_norm == pytest.approx(1.0)


@pytest.mark.parametrize("fusion", ["rrf", "norm", "dbsf"])
def test_contributions_add_up_and_norms_stay_within_0_and_1(library: dict[str, Article], fusion: str) -> None:
    for hit in Article.objects.hybrid_search("part number 12 limescale", fusion=fusion, top_n=40):
        shares = hit.search_detail["legs"].values()
        assert hit.search_score == pytest.approx(sum(share["contribution"] for share in shares))
        assert 0 <= hit.search_score_norm <= 1


def test_a_leg_that_did_not_find_a_record_gives_it_nothing(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search("limescale", top_n=30)
    for hit in hits[1:]:
        assert "lexical" not in hit.search_detail["legs"]


def test_a_large_k_flattens_the_lead_of_the_first(library: dict[str, Article]) -> None:
    def lead(k: int) -> float:
        first, second = Article.objects.hybrid_search("shelf", legs=["lexical"], k=k, top_n=2)
        return first.search_score / second.search_score

    assert lead(1) > lead(60) > 1


def test_an_explanation_adds_up_and_names_what_matched(library: dict[str, Article]) -> None:
    explanation = Article.objects.hybrid_search("limescale flakes KST17BL")[0].explain()
    assert explanation.score == pytest.approx(sum(share.contribution for share in explanation.shares))
    assert explanation.lexemes == ("flake", "limescal")
    assert explanation.pinned
    assert explanation.freshness == "current"
    assert "<mark>limescale</mark>" in explanation.highlights["body"]
    assert explanation.passage in f"{library['kettle'].title}\n\n{library['kettle'].body}\n\nKestrel"
    assert "Descaling a kettle" in str(explanation)


def test_markup_in_texts_is_escaped_in_highlights(db: None) -> None:
    body = "<script>alert(1)</script> limescale \x02<b>\x03 & more"
    Article.objects.create(title="<img src=x onerror=1>", body=body)
    marked = Article.objects.hybrid_search("limescale script").get().explain().highlights
    assert "<script" not in marked["body"]
    assert "<b>" not in marked["body"]
    assert "<img" not in marked["title"]
    assert "<mark>limescale</mark>" in marked["body"]
    assert marked["body"].count("<mark>") == marked["body"].count("</mark>")


def test_an_instance_that_was_not_searched_cannot_be_explained(library: dict[str, Article]) -> None:
    with pytest.raises(ValueError, match="take the instance from hybrid_search"):
        Article.objects.first().explain()  # type: ignore[union-attr]


def test_the_settings_of_the_statement_do_not_outlive_it(library: dict[str, Article]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.ef_search = 77")
        cursor.execute("SET LOCAL jit = on")
        list(Article.objects.hybrid_search("limescale"))
        cursor.execute("SELECT current_setting('hnsw.ef_search'), current_setting('jit')")
        assert cursor.fetchone() == ("77", "on")
        cursor.execute("SELECT current_setting('hnsw.iterative_scan')")
        assert cursor.fetchone() == ("off",)
