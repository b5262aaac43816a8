"""The result is a queryset: whatever Django does with one works."""

from __future__ import annotations

import pickle

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.test.utils import CaptureQueriesContext

from lockstep.search.exceptions import QueryError
from tests.testapp.models import Article, Brand, PoweredMachine, Tag

pytestmark = pytest.mark.django_db

QUERY = "limescale refund shelf"


def test_nothing_is_asked_until_it_is_evaluated(library: dict[str, Article]) -> None:
    with CaptureQueriesContext(connection) as queries:
        Article.objects.filter(lang="en").hybrid_search(QUERY).exclude(sku="")[:5]
    assert len(queries) == 0


def test_a_search_is_two_statements(library: dict[str, Article]) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert len(Article.objects.filter(lang="en").hybrid_search(QUERY)) == 10
    assert len(queries) == 2


@pytest.mark.parametrize(
    "condition",
    [
        Q(lang="fr"),
        Q(sku="") | Q(brand__name="Kestrel"),
        ~Q(title__startswith="Item"),
        Q(tags__name="home"),
        ~Q(tags__name="home"),
        Q(pk__in=[]),
        Exists(Tag.objects.filter(article=OuterRef("pk"))),
        Q(brand__name__in=["Kestrel", "Kestra"]),
    ],
)
def test_a_filter_before_and_after_means_the_same(tagged: Tag, condition: Q) -> None:
    before = list(Article.objects.filter(condition).hybrid_search(QUERY, top_n=100))
    after = list(Article.objects.hybrid_search(QUERY, top_n=100).filter(condition))
    assert before == after
    assert [hit.search_score for hit in before] == [hit.search_score for hit in after]
    assert {hit.pk for hit in before} <= set(Article.objects.filter(condition).values_list("pk", flat=True))


def test_a_join_that_repeats_rows_does_not_repeat_what_is_ranked(tagged: Tag) -> None:
    hits = Article.objects.filter(tags__name__startswith="ho").distinct().hybrid_search(QUERY)
    assert sorted(hit.title for hit in hits) == ["Descaling a kettle", "Head torch"]
    assert sorted(hit.search_rank for hit in hits) == [1, 2]


def test_an_aggregate_in_the_filter_permits_as_it_says(tagged: Tag) -> None:
    counted = Article.objects.annotate(tag_count=Count("tags")).filter(tag_count=2)
    assert [hit.title for hit in counted.hybrid_search(QUERY)] == ["Descaling a kettle"]


def test_a_filter_on_the_score_acts_on_the_result(library: dict[str, Article]) -> None:
    hits = list(Article.objects.hybrid_search(QUERY))
    kept = Article.objects.hybrid_search(QUERY).filter(search_score__gte=hits[2].search_score)
    assert list(kept) == hits[:3]


def test_a_page_is_never_short_because_of_a_filter(library: dict[str, Article]) -> None:
    last = Article.objects.filter(title__startswith="Item").order_by("-pk").values("pk")[:10]
    hits = Article.objects.filter(pk__in=list(last.values_list("pk", flat=True))).hybrid_search(
        "limescale citric acid"
    )
    assert len(hits) == 10


def test_slices_counts_and_existence(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search(QUERY, top_n=8)
    everything = list(hits)
    assert len(everything) == hits.count() == 8
    assert list(hits[2:5]) == everything[2:5]
    assert hits[0] == hits.first() == everything[0]
    assert hits.last() == everything[-1]
    assert hits.exists()
    assert hits.all()[:3].count() == 3
    assert hits.contains(everything[3])
    assert hits.in_bulk([everything[1].pk]) == {everything[1].pk: everything[1]}
    assert hits.get(pk=everything[2].pk).search_rank == 1  # the filter goes inside: the best of the permitted
    assert hits.aggregate(n=Count("pk"))["n"] == 8


def test_columns_relations_and_orders(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search("kettle torch")
    assert hits.values_list("title", "search_rank")[0] == (hits[0].title, 1)
    assert hits.values("pk")[0] == {"pk": hits[0].pk}
    with CaptureQueriesContext(connection) as queries:
        found = list(hits.only("title", "brand").select_related("brand").prefetch_related("tags"))
    assert len(queries) == 3
    assert {hit.brand.name for hit in found if hit.brand} == {"Kestrel", "Kestra"}
    assert [hit.title for hit in hits.order_by("title")] == sorted(hit.title for hit in hits)
    assert hits.annotate(double=F("search_score") * 2)[0].double == pytest.approx(hits[0].search_score * 2)
    assert [hit.pk for hit in hits.reverse()] == [hit.pk for hit in hits][::-1]


def test_a_search_inside_another_query(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search("kettle torch", top_n=2)
    assert {brand.name for brand in Brand.objects.filter(article__in=hits)} == {"Kestrel", "Kestra"}
    best = Subquery(Article.objects.hybrid_search("limescale").values("title")[:1])
    assert Brand.objects.annotate(best=best).first().best == "Descaling a kettle"  # type: ignore[union-attr]
    assert hits.values("pk").union(Article.objects.filter(lang="fr").values("pk")).count() == 3


def test_updates_and_deletes_of_what_was_found(library: dict[str, Article]) -> None:
    assert Article.objects.hybrid_search("limescale", top_n=1).update(views=9) == 1
    library["kettle"].refresh_from_db()
    assert library["kettle"].views == 9
    Article.objects.hybrid_search("limescale", top_n=1).delete()
    assert not Article.objects.filter(pk=library["kettle"].pk).exists()


def test_iterators_named_cursors_and_pickles(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search(QUERY)
    expected = list(hits)
    assert list(hits.iterator(chunk_size=3)) == expected
    assert list(hits.all()) == expected
    assert pickle.loads(pickle.dumps(hits)).count() == 10
    again = Article.objects.all()
    again.query = pickle.loads(pickle.dumps(Article.objects.hybrid_search(QUERY).query))
    assert list(again) == expected


@pytest.mark.django_db(transaction=True)
def test_a_server_side_cursor_outside_a_transaction(library: dict[str, Article]) -> None:
    assert len(list(Article.objects.hybrid_search(QUERY).iterator(chunk_size=2))) == 10
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('hnsw.ef_search')")
        assert cursor.fetchone() == ("40",)


@pytest.mark.django_db(transaction=True)
def test_asynchronous_iteration(library: dict[str, Article]) -> None:
    async def collect() -> list[str]:
        return [hit.title async for hit in Article.objects.hybrid_search("limescale", top_n=3)]

    assert async_to_sync(collect)()[0] == "Descaling a kettle"


def test_a_child_by_table_inheritance_is_found_through_its_parent(db: None) -> None:
    machine = PoweredMachine.objects.create(name="Drill", description="Bores holes in oak", watts=700)
    assert PoweredMachine.objects.filter(watts=700).hybrid_search("oak").get() == machine
    assert PoweredMachine.objects.filter(watts=1).hybrid_search("oak").count() == 0


def test_a_related_manager_searches_its_own(library: dict[str, Article]) -> None:
    brand = Brand.objects.get(name="Kestra")
    assert [hit.title for hit in brand.article_set.hybrid_search(QUERY)] == ["Head torch"]  # type: ignore[attr-defined]


def test_locking_the_records_that_were_found(library: dict[str, Article]) -> None:
    assert len(Article.objects.hybrid_search(QUERY).select_for_update(of=("self",))) == 10


def test_what_cannot_mean_anything_is_refused_with_a_reason(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search(QUERY)
    with pytest.raises(QueryError, match="combine the filters before"):
        hits | Article.objects.all()
    with pytest.raises(QueryError, match="combine the filters before"):
        Article.objects.all() | hits
    with pytest.raises(QueryError, match="before slicing"):
        Article.objects.all()[:5].hybrid_search(QUERY)
    with pytest.raises(QueryError, match="union"):
        Article.objects.all().union(Article.objects.all()).hybrid_search(QUERY)
    with pytest.raises(QueryError, match="a search already"):
        hits.hybrid_search(QUERY)


def test_none_stays_none(library: dict[str, Article]) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert list(Article.objects.none().hybrid_search(QUERY)) == []
        assert list(Article.objects.hybrid_search(QUERY).none()) == []
    assert len(queries) == 0


def test_a_reader_finds_only_what_is_permitted_in_any_leg(library: dict[str, Article], reader: User) -> None:
    visible = Article.objects.visible_to(reader)
    for legs in (["lexical"], ["identifier"], ["dense"], None):
        for query in ("agents refund fifty pounds", "SEC-77", "sec77", "sec-7", "sec-78"):
            hits = visible.hybrid_search(query, legs=legs, top_n=100)
            assert library["hidden"] not in hits
            assert hits.count() <= visible.count()
            assert library["hidden"] not in Article.objects.hybrid_search(query, legs=legs).visible_to(reader)
    assert Article.objects.visible_to(reader).hybrid_search('"fifty pounds"').count() == 0
    assert not visible.hybrid_search("SEC-77")[0].search_detail["pinned"]
    assert library["hidden"] in Article.objects.hybrid_search("SEC-77")
