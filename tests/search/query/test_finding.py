"""What is found, and in which place."""

from __future__ import annotations

import pytest

from lockstep.search.declaration import text_digest
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.django_db


def titles(query: str, **options: object) -> list[str]:
    return [article.title for article in Article.objects.hybrid_search(query, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        "KST-1.7/BL",
        "kst-1.7/bl",
        "KST17BL",
        "kst 1.7 bl",
        "KST 1.7/BL",
        "kst-1.7-bl",
        "kettle kst17bl please",
    ],
)
def test_a_code_comes_first_with_or_without_its_separators(library: dict[str, Article], query: str) -> None:
    assert titles(query)[0] == "Descaling a kettle"


def test_the_first_half_of_a_code_finds_it(library: dict[str, Article]) -> None:
    assert titles("xr-20")[0] == "Head torch"


@pytest.mark.parametrize("query", ["XR-2O00A", "xr-200A", "xr-2000b", "xr2200a"])
def test_a_code_with_a_slip_is_found(library: dict[str, Article], query: str) -> None:
    assert "Head torch" in titles(query, legs=["identifier"])


def test_a_brand_comes_before_its_near_namesake(library: dict[str, Article]) -> None:
    assert titles("kestra")[0] == "Head torch"
    assert titles("Kestrel")[0] == "Descaling a kettle"


def test_an_exact_code_is_first_even_when_the_other_legs_agree_on_another(
    library: dict[str, Article],
) -> None:
    query = "white flakes of limescale in boiling water XR-2000A"
    hits = Article.objects.hybrid_search(query)
    assert hits[0].title == "Head torch"
    assert hits[0].search_detail["pinned"]
    assert hits[0].search_score < hits[1].search_score


def test_a_question_is_answered_though_no_record_holds_all_its_words(library: dict[str, Article]) -> None:
    assert (
        titles("what are those white flakes in my kettle and are they bad", legs=["lexical"])[0]
        == "Descaling a kettle"
    )


@pytest.mark.parametrize("fusion", ["rrf", "norm", "dbsf"])
def test_the_record_that_a_code_names_stands_above_one_that_mentions_it(db: None, fusion: str) -> None:
    Article.objects.create(title="Filter", body="Fits the XR-2000A: XR-2000A owners, wash it. XR-2000A only.")
    Article.objects.create(title="Vacuum cleaner", sku="XR-2000A")
    for typed in ("XR-2000A", "xr2000a", "xr-2000a filter"):
        assert titles(typed, fusion=fusion)[0] == "Vacuum cleaner"


def test_a_rare_word_outweighs_a_common_one(library: dict[str, Article]) -> None:
    assert titles("shelf limescale", legs=["lexical"])[0] == "Descaling a kettle"


def test_a_word_in_the_title_outweighs_one_in_the_body(db: None) -> None:
    Article.objects.create(title="About saddles", body="Ours are made of leather and last.")
    Article.objects.create(title="About leather", body="Ours carries saddles and lasts.")
    assert titles("leather", legs=["lexical"])[0] == "About leather"


def test_a_quoted_phrase_must_stand_in_the_record(library: dict[str, Article]) -> None:
    assert titles('"citric acid" refund torch') == ["Descaling a kettle"]


def test_an_excluded_word_must_not_stand_in_the_record(library: dict[str, Article]) -> None:
    found = titles("limescale refund -kettle", top_n=50)
    assert "Descaling a kettle" not in found
    assert "Money back" in found


def test_a_minus_before_a_digit_belongs_to_the_code(library: dict[str, Article]) -> None:
    assert titles("XR -2000A")[0] == "Head torch"


def test_words_and_identifiers_are_current_at_once_in_deferred_mode(db: None) -> None:
    note = Note.objects.create(text="limescale", codes=["AB-1"])
    assert Note.objects.hybrid_search("ab1").get() == note
    assert Note.objects.hybrid_search("limescale", legs=["dense"]).count() == 0


def test_every_chunk_of_a_record_counts_for_one_hit(db: None) -> None:
    body = "\n\n".join(f"Paragraph {number} about limescale in kettles. " * 20 for number in range(12))
    Article.objects.create(title="Long", body=body)
    hits = list(Article.objects.hybrid_search("limescale", legs=["dense"]))
    assert [hit.title for hit in hits] == ["Long"]


def test_equal_scores_are_ordered_by_primary_key_every_time(db: None) -> None:
    made = Article.objects.bulk_create(Article(title="Twin", body="The same words.") for _ in range(8))
    for _ in range(3):
        assert [hit.pk for hit in Article.objects.hybrid_search("same words")] == [
            article.pk for article in made
        ]


def test_python_and_the_database_agree_on_the_digest(db: None) -> None:
    article = Article.objects.create(title="Ünïcode 👩‍🚀", body="")
    assert Article.objects.get().search_digest == text_digest(["Ünïcode 👩‍🚀", "", ""])
    assert article.search_digest == Article.objects.get().search_digest


def test_a_vector_of_an_older_text_is_never_ranked(db: None) -> None:
    note = Note.objects.create(text="limescale in the kettle")
    assert Note.search.embed([note.pk]) == 1
    assert Note.objects.hybrid_search("limescale", legs=["dense"]).get() == note
    Note.objects.filter(pk=note.pk).update(text="a torch in the dark")
    assert Note.objects.hybrid_search("limescale", legs=["dense"]).count() == 0
    assert Note.search.embed([note.pk]) == 1
    assert Note.objects.hybrid_search("torch", legs=["dense"]).get() == note
