"""The indexes are used, with and without filters; the exact search where few records are permitted."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import Q, QuerySet

from lockstep.search import spaces, stats, vector_tables
from lockstep.search.query import plan
from tests.testapp.models import Article, Brand, Tag

ROWS = 3_000


@pytest.fixture(scope="module")
def shelf(django_db_setup: None, django_db_blocker: Any) -> Any:
    """Enough records for the planner to prefer an index; committed, and taken away again."""
    with django_db_blocker.unblock():
        brands = [Brand.objects.create(name=f"Brand {number}") for number in range(20)]
        words = [
            "amber",
            "birch",
            "copper",
            "dune",
            "ember",
            "frost",
            "gravel",
            "harbour",
            "iron",
            "jade",
            "kelp",
            "linen",
            "moss",
        ]
        rows = (
            Article(
                title=f"{words[number % 10]} {words[number % 7]} {number}",
                body=f"{words[number % 9]} stands by {words[number % 5]} at {number % 97}.",
                sku=f"AB-{number:05}",
                lang="en" if number % 10 else "fr",
                public=bool(number % 50),
                brand=brands[number % 20],
            )
            for number in range(ROWS)
        )
        Article.search.load(rows, batch_size=500)
        stats.refresh(Article.search, "default")
        with connection.cursor() as cursor:
            for table in (
                Article.search.table,
                Article.search.document_table,
                spaces.active(Article.search, "default").table,
            ):
                cursor.execute(f'VACUUM ANALYZE "{table}"')
        yield
        Article.objects.all().delete()
        Brand.objects.all().delete()
        stats.refresh(Article.search, "default")


def nodes(queryset: QuerySet[Article], *, without: tuple[str, ...] = ()) -> str:
    """The plan, with some ways of the planner forbidden: a few thousand short rows are as quick to read whole."""
    with connection.cursor() as cursor:
        for way in without:
            cursor.execute(f"SET LOCAL enable_{way} = off")
    return queryset.explain(analyze=True)


CONDITIONS = {
    "nothing": Q(),
    "nine tenths": Q(lang="en"),
    "a join": Q(brand__name__in=[f"Brand {number}" for number in range(15)]),
    "an exclusion": ~Q(brand__name="Brand 1"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_words_and_identifiers_come_from_gin_indexes(shelf: None, condition: Q) -> None:
    found = Article.objects.filter(condition)
    assert f"{Article.search.slug}_tsv" in nodes(
        found.hybrid_search("1203", legs=["lexical"]), without=("seqscan", "indexscan")
    )
    assert f"{Article.search.slug}_ids" in nodes(
        found.hybrid_search("AB-01203", legs=["identifier"]), without=("seqscan", "indexscan")
    )


@pytest.mark.django_db
@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_vectors_come_from_the_hnsw_index_when_many_are_permitted(
    shelf: None, condition: Q, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "EXACT_BELOW", 100)
    monkeypatch.setattr(plan, "SMALL", 100)
    hits = Article.objects.filter(condition).hybrid_search("amber copper", legs=["dense"])
    assert vector_tables.vector_index_name(spaces.active(Article.search, "default").table) in nodes(
        hits, without=("seqscan", "sort")
    )
    assert hits[0].search_detail["strategy"]["dense"] == "hnsw"


@pytest.mark.django_db
def test_few_permitted_records_are_searched_exactly(shelf: None) -> None:
    hits = Article.objects.filter(public=False).hybrid_search("amber copper", legs=["dense"], top_n=100)
    assert hits[0].search_detail["strategy"]["dense"] == "exact"
    assert len(hits) == ROWS // 50


@pytest.mark.django_db
@pytest.mark.parametrize("share", [2, 10, 50, 300])
def test_a_filtered_page_from_the_index_is_never_short(
    shelf: None, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "EXACT_BELOW", 0)
    monkeypatch.setattr(plan, "SMALL", 0)
    pks = list(Article.objects.order_by("pk").values_list("pk", flat=True))[::share]
    permitted = Article.objects.filter(pk__in=pks)
    hits = list(permitted.hybrid_search("amber frost", legs=["dense"], top_n=10))
    assert len(hits) == min(10, len(pks))
    monkeypatch.setattr(plan, "EXACT_BELOW", 10_000)
    exact = list(permitted.hybrid_search("amber frost", legs=["dense"], top_n=10))
    shared = {hit.pk for hit in hits} & {hit.pk for hit in exact}
    assert len(shared) >= 8


@pytest.mark.django_db
def test_many_to_many_filters_use_the_index_too(shelf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "EXACT_BELOW", 100)
    tag = Tag.objects.create(name="t")
    through = Article.tags.through
    through.objects.bulk_create(
        through(article_id=pk, tag_id=tag.pk)
        for pk in Article.objects.filter(lang="en").values_list("pk", flat=True)
    )
    hits = Article.objects.filter(tags=tag).hybrid_search("amber copper", legs=["dense"])
    assert len(hits) == 10
