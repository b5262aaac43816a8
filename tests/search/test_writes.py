"""Promise 1 in strict mode: whatever writes, record and embedding commit together, or nothing does."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import IntegrityError, NotSupportedError, connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Upper
from psycopg.errors import ForeignKeyViolation

from lockstep.search.exceptions import EmbedderRefused, EmbedderTimeout, EmbedderUnavailable, TextError
from lockstep.search.vectors import memory
from tests.archive.models import Author, Book, Classic
from tests.search.oracle import attached, in_step
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Brand, Machine, Note, Part, PoweredMachine, Tag

pytestmark = pytest.mark.usefixtures("transactional_db")

LONG = "\n\n".join(
    f"Paragraph {i} tells of part {i} and of nothing else. " + f"word{i} " * 60 for i in range(30)
)


def articles(count: int = 3) -> list[Article]:
    brand = Brand.objects.create(name="Kestrel")
    return Article.objects.bulk_create(
        Article(title=f"Kettle {i}", body=f"boils in {i} minutes", sku=f"XR-{i}", brand=brand)
        for i in range(count)
    )


# --- every path -----------------------------------------------------------------------------------


def create() -> None:
    Article.objects.create(title="New", body="text")


def save_changed() -> None:
    article = articles(1)[0]
    article.body = "boils faster"
    article.save()


def save_unchanged() -> None:
    articles(1)[0].save()


def save_some_fields() -> None:
    article = articles(1)[0]
    article.title, article.body = "Other", "not written"
    article.save(update_fields=["title"])


def save_unrelated_field() -> None:
    article = articles(1)[0]
    article.views = 7
    article.title = "not written"
    article.save(update_fields=["views"])


def save_with_deferred_fields() -> None:
    articles(1)
    article = Article.objects.only("title").get()
    article.title = "Only this"
    article.save()


def save_deferred_unchanged() -> None:
    articles(1)
    article = Article.objects.defer("body").get()
    article.views = 3
    article.save()


def save_expression() -> None:
    article = articles(1)[0]
    article.title = Upper("title")
    article.save()
    assert Article.objects.get().title == "KETTLE 0"


def save_f_expression() -> None:
    article = articles(1)[0]
    article.body = Concat(F("title"), Value(" twice"))
    article.save(update_fields=["body"])


def save_stale_instance() -> None:
    articles(1)
    first, second = Article.objects.get(), Article.objects.get()
    first.title = "first"
    first.save()
    second.body = "second"
    second.save()
    assert Article.objects.get().title == "Kettle 0"


def save_a_clone() -> None:
    article = articles(1)[0]
    article.pk = None
    article._state.adding = True
    article.title = "clone"
    article.save()
    assert Article.objects.count() == 2


def save_with_a_key_of_its_own() -> None:
    Article(pk=77, title="seventy-seven").save()
    Article(pk=77, title="again").save()
    Article(pk=78, title="forced").save(force_insert=True)


def save_empty_text() -> None:
    article = articles(1)[0]
    article.title = article.body = ""
    article.brand = None
    article.save()
    assert attached(Article.search) == 0


def save_long_then_short() -> None:
    article = Article.objects.create(title="Long", body=LONG)
    assert attached(Article.search) > 3
    article.body = "short"
    article.save()
    assert attached(Article.search) == 1


def get_or_create() -> None:
    Article.objects.get_or_create(title="one", defaults={"body": "x"})
    Article.objects.get_or_create(title="one", defaults={"body": "y"})


def update_or_create() -> None:
    brand = Brand.objects.create(name="Kestrel")
    Article.objects.update_or_create(title="one", defaults={"body": "x"})
    Article.objects.update_or_create(title="one", defaults={"body": "y"})
    Article.objects.update_or_create(title="one", defaults={"brand": brand})
    assert Article.objects.get().search_context == "Kestrel"


def bulk_create() -> None:
    articles(50)


def bulk_create_in_batches() -> None:
    Article.objects.bulk_create((Article(title=f"T{i}") for i in range(10)), batch_size=3)


def bulk_create_nothing() -> None:
    assert Article.objects.bulk_create([]) == []
    assert Article.objects.bulk_create(iter(())) == []


def bulk_create_with_expressions() -> None:
    Article.objects.bulk_create([Article(title=Upper(Value("loud")), body="x"), Article(title="plain")])
    assert set(Article.objects.values_list("title", flat=True)) == {"LOUD", "plain"}


def bulk_create_ignoring_conflicts() -> None:
    old = articles(1)[0]
    Article.objects.bulk_create(
        [Article(pk=old.pk, title="lost"), Article(title="new")], ignore_conflicts=True
    )
    assert set(Article.objects.values_list("title", flat=True)) == {"Kettle 0", "new"}


def bulk_create_updating_conflicts() -> None:
    old = articles(1)[0]
    brand = Brand.objects.create(name="Kestra")
    upsert = {"update_conflicts": True, "unique_fields": ["id"]}
    Article.objects.bulk_create(
        [Article(pk=old.pk, title="upserted", body="lost"), Article(title="new")],
        update_fields=["title"],
        **upsert,
    )
    Article.objects.bulk_create(
        [Article(pk=old.pk, title="lost", brand=brand)], update_fields=["brand"], batch_size=1, **upsert
    )
    old.refresh_from_db()
    assert (old.title, old.body, old.search_context) == ("upserted", "boils in 0 minutes", "Kestra")


def bulk_update() -> None:
    found = articles(25)
    for article in found:
        article.title += "!"
    assert Article.objects.bulk_update(found, ["title"], batch_size=7) == 25


def bulk_update_expressions() -> None:
    found = articles(4)
    for article in found:
        article.title = Concat(F("title"), Value("?"))
    found[0].title = "plain"
    Article.objects.bulk_update(found, ["title"])


def bulk_update_related() -> None:
    found = articles(4)
    other = Brand.objects.create(name="Kestra")
    for article in found:
        article.brand = other
    Article.objects.bulk_update(found, ["brand"])
    assert set(Article.objects.values_list("search_context", flat=True)) == {"Kestra"}


def bulk_update_unrelated() -> None:
    found = articles(4)
    for article in found:
        article.views, article.title = 9, "not written"
    Article.objects.bulk_update(found, ["views"])


def bulk_update_nothing() -> None:
    assert Article.objects.bulk_update([], ["title"]) == 0


def update_values() -> None:
    articles()
    assert Article.objects.update(title="all alike") == 3


def update_expressions() -> None:
    articles()
    Article.objects.update(
        title=Concat(F("title"), Value(" by "), F("sku")), body=F("title"), views=F("views") + 1
    )


def update_a_number_into_text() -> None:
    articles()
    Article.objects.update(sku="x", title=F("views"))
    assert set(Article.objects.values_list("title", flat=True)) == {"0"}


def update_that_ends_its_own_match() -> None:
    articles()
    assert Article.objects.filter(title="Kettle 1").update(title="renamed") == 1


def update_relation() -> None:
    articles()
    other = Brand.objects.create(name="Kestra")
    assert Article.objects.filter(brand__name="Kestrel", title="Kettle 1").update(brand=other) == 1
    Article.objects.filter(title="Kettle 2").update(brand_id=None, body="no brand")
    contexts = dict(Article.objects.values_list("title", "search_context"))
    assert contexts == {"Kettle 0": "Kestrel", "Kettle 1": "Kestra", "Kettle 2": ""}


def update_joined() -> None:
    articles()
    Article.objects.filter(brand__name__startswith="Kes").update(title="joined")
    Article.objects.filter(tags__name="none").distinct().update(title="never")
    article = Article.objects.first()
    assert article
    article.tags.add(*Tag.objects.bulk_create([Tag(name="a"), Tag(name="b")]))
    Article.objects.filter(tags__name__in=["a", "b"]).distinct().order_by("-title").update(title="tagged")
    Article.objects.annotate(n=models.Count("tags")).filter(n=2).update(body="two tags")
    assert list(Article.objects.filter(body="two tags").values_list("title", flat=True)) == ["tagged"]


def update_with_annotation() -> None:
    articles()
    Article.objects.annotate(loud=Upper("title")).update(title=F("loud"))


def update_from_subquery() -> None:
    articles()
    name = Brand.objects.filter(pk=models.OuterRef("brand_id")).values("name")[:1]
    Article.objects.update(body=models.Subquery(name))
    assert set(Article.objects.values_list("body", flat=True)) == {"Kestrel"}


def update_nothing() -> None:
    assert Article.objects.none().update(title="x") == 0
    assert Article.objects.filter(pk=-1).update(title="x") == 0


def update_the_key() -> None:
    article = articles(1)[0]
    Article.objects.filter(pk=article.pk).update(id=4711)
    Article.objects.filter(pk=4711).update(id=4712, title="moved")


def delete_instance() -> None:
    articles()[0].delete()


def delete_queryset() -> None:
    articles()
    assert Article.objects.filter(title__in=["Kettle 0", "Kettle 1"]).delete()[0] == 2


def delete_by_cascade() -> None:
    author = Author.objects.create(name="Mary")
    Book.objects.create(isbn="1", title="Monster", author=author)
    author.delete()
    assert not Book.objects.exists()


def related_managers() -> None:
    brand = Brand.objects.create(name="Kestrel")
    brand.article_set.create(title="mine")
    brand.article_set.get_or_create(title="yours")
    brand.article_set.update(body="ours")
    brand.article_set.update_or_create(title="yours", defaults={"body": "theirs"})
    other = Article.objects.create(title="other")
    brand.article_set.add(other, bulk=False)
    brand.article_set.set([other], bulk=False)
    brand.article_set.clear()
    assert set(Article.objects.values_list("search_context", flat=True)) == {""}


def touched_by_hand() -> None:
    articles()
    Brand.objects.update(name="KESTREL")
    assert Article.objects.filter(brand__name="KESTREL").touch_search() == 3
    assert set(Article.objects.values_list("search_context", flat=True)) == {"KESTREL"}


def from_the_async_world() -> None:
    async def work() -> None:
        article = await Article.objects.acreate(title="async")
        article.body = "saved"
        await article.asave()
        await Article.objects.aupdate(title="updated")
        await Article.objects.abulk_create([Article(title="a"), Article(title="b")])
        await Article.objects.aupdate_or_create(title="a", defaults={"body": "z"})
        await Article.objects.aget_or_create(title="c")
        found = [article async for article in Article.objects.all()]
        for article in found:
            article.title += "~"
        await Article.objects.abulk_update(found, ["title"])
        await found[0].adelete()

    async_to_sync(work)()


def child_of_an_indexed_parent() -> None:
    machine = PoweredMachine.objects.create(name="drill", description="drills", watts=5)
    machine.watts = 6
    machine.save()
    machine.description = "drills holes"
    machine.save()
    machine.save(update_fields=["description"])
    PoweredMachine.objects.update(description="any machine", watts=7)
    PoweredMachine.objects.filter(watts=7).update(watts=8)
    machine.refresh_from_db()
    machine.description = "bulk"
    PoweredMachine.objects.bulk_update([machine], ["description"])
    Machine.objects.update(name="x", description="through the parent")
    PoweredMachine(
        machine_ptr=Machine.objects.create(name="p", description="parent first"), watts=1
    ).save_base(raw=True)
    assert in_step(Machine)
    machine.delete()


def odd_names_and_keys() -> None:
    part = Part.objects.create(code="a'b\"c", description="odd key")
    part.description = "odder"
    part.save()
    Part.objects.bulk_create([Part(code="é 2", description="accent"), Part(code="%s", description="percent")])
    Part.objects.filter(code="%s").update(description="100 %s")
    Part.objects.filter(code="é 2").update(code="moved")
    with Part.search.in_step(), connection.cursor() as cursor:
        cursor.execute("UPDATE \"Spare Parts\" SET descr = descr || ' raw'")
    assert in_step(Part)


def proxy_and_two_indexes() -> None:
    author = Author.objects.create(name="Mary")
    book = Classic.objects.create(isbn="1", title="Frankenstein", shelf="A3", author=author)
    book.title = "Frankenstein, or"
    book.save()
    Classic.objects.update(title="The Modern Prometheus")
    Classic.objects.bulk_create([Classic(isbn="2", title="Dracula", shelf="B1")])
    books = list(Classic.objects.all())
    for book in books:
        book.title += "."
    Classic.objects.bulk_update(books, ["title"])
    assert in_step(Book, waiting=True)


def raw_sql_in_step() -> None:
    articles()
    with Article.search.in_step(), connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_article SET title = title || ' raw'")
        cursor.execute("UPDATE testapp_article SET body = 'twice' WHERE title = 'Kettle 1 raw'")
        cursor.execute(
            "INSERT INTO testapp_article (title, body, sku, lang, public, views, brand_id)"
            " SELECT 'inserted', '', '', 'en', true, 0, id FROM testapp_brand"
        )
        cursor.execute("DELETE FROM testapp_article WHERE title = 'Kettle 2 raw'")
    assert Article.objects.get(title="inserted").search_context == "Kestrel"


def copy_rows(cursor: Any, statement: str, *rows: tuple[Any, ...]) -> None:
    with cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)


def copy_in_step() -> None:
    rows = [(f"copied {i}", "from a file", "", "en", True, 0) for i in range(300)]
    with Article.search.in_step(), connection.cursor() as cursor:
        copy_rows(cursor, "COPY testapp_article (title, body, sku, lang, public, views) FROM STDIN", *rows)


def raw_sql_then_embed() -> None:
    found = articles()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE testapp_article SET title = title || ' raw'")
        assert Article.search.embed([article.pk for article in found]) == 3


def load() -> None:
    assert Article.search.load((Article(title=f"loaded {i}") for i in range(150)), batch_size=40) == 150


PATHS: list[Callable[[], None]] = [
    create, save_changed, save_unchanged, save_some_fields, save_unrelated_field, save_with_deferred_fields,
    save_deferred_unchanged, save_expression, save_f_expression, save_stale_instance, save_a_clone,
    save_with_a_key_of_its_own, save_empty_text, save_long_then_short, get_or_create, update_or_create, bulk_create,
    bulk_create_in_batches, bulk_create_nothing, bulk_create_with_expressions, bulk_create_ignoring_conflicts,
    bulk_create_updating_conflicts, bulk_update, bulk_update_expressions, bulk_update_related, bulk_update_unrelated,
    bulk_update_nothing, update_values, update_expressions, update_a_number_into_text, update_that_ends_its_own_match,
    update_relation, update_joined, update_with_annotation, update_from_subquery, update_nothing, update_the_key,
    delete_instance, delete_queryset, delete_by_cascade, related_managers, touched_by_hand, child_of_an_indexed_parent,
    odd_names_and_keys, proxy_and_two_indexes, raw_sql_in_step, copy_in_step, raw_sql_then_embed, load,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
@pytest.mark.parametrize("place", ["autocommit", "atomic"])
def test_every_way_to_write_keeps_step(path: Callable[[], None], place: str, embedder: Counting) -> None:
    with transaction.atomic() if place == "atomic" else nullcontext():
        path()
    assert in_step(Article, Machine, Part)


def test_the_async_twins_keep_step(embedder: Counting) -> None:
    from_the_async_world()
    assert in_step(Article)


# --- what is refused ------------------------------------------------------------------------------


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


RAW = {
    "an update": "UPDATE testapp_article SET title = 'raw'",
    "an insert": "INSERT INTO testapp_article (title, body, sku, lang, public, views) VALUES ('raw','','','',true,0)",
    "a change of the key": "UPDATE testapp_article SET id = id + 1000",
    "an upsert": "INSERT INTO testapp_article (id, title, body, sku, lang, public, views) SELECT id, 'raw', '', '', '',"
    " true, 0 FROM testapp_article ON CONFLICT (id) DO UPDATE SET title = 'raw'",
    "a merge": "MERGE INTO testapp_article a USING testapp_brand b ON a.brand_id = b.id"
    " WHEN MATCHED THEN UPDATE SET body = b.name",
    "a forged digest": "UPDATE testapp_article SET search_digest = gen_random_uuid(), title = 'raw'",
    "a deleted manifest": "DELETE FROM testapp_article_search_manifest",
    "a forged manifest": "UPDATE testapp_article_search_manifest SET digest = gen_random_uuid()",
    "a changed context": "UPDATE testapp_article SET search_context = 'raw'",
}


@pytest.mark.parametrize("statement", RAW.values(), ids=RAW)
def test_raw_sql_without_an_embedding_is_refused_at_commit(statement: str, embedder: Counting) -> None:
    articles()
    with pytest.raises(IntegrityError):
        sql(statement)
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(statement)
    assert in_step(Article)


def test_raw_sql_that_leaves_the_text_alone_passes(embedder: Counting) -> None:
    articles()
    sql("UPDATE testapp_article SET views = 5, title = title, sku = 'XR-9'")
    sql("UPDATE testapp_article SET search_digest = gen_random_uuid()")
    sql("UPDATE testapp_article SET search_digest = NULL")
    sql("DELETE FROM testapp_article WHERE title = 'Kettle 1'")
    assert in_step(Article)


def test_the_refusal_says_what_to_do(embedder: Counting) -> None:
    article = articles(1)[0]
    with pytest.raises(IntegrityError) as caught:
        sql(RAW["an update"])
    text = str(caught.value)
    assert f"Article {article.pk}: its text changed without a new embedding" in text
    assert "DETAIL:  The index testapp.Article.search is strict" in text
    for way in (
        "save, bulk_create",
        "in_step()",
        "embed(pks)",
        'EmbedRecords("testapp.Article")',
        'mode="deferred"',
    ):
        assert way in text


def test_copy_without_an_embedding_is_refused(embedder: Counting) -> None:
    copy = "COPY testapp_article (title, body, sku, lang, public, views) FROM STDIN"
    with pytest.raises(ForeignKeyViolation, match="without a new embedding"), connection.cursor() as cursor:
        copy_rows(cursor, copy, ("copied", "", "", "en", True, 0))
    assert not Article.objects.exists()


def test_a_writer_that_knows_nothing_of_us_is_refused(embedder: Counting) -> None:
    articles()
    with pytest.raises(IntegrityError):
        models.QuerySet(Article).update(title="plain queryset")
    with pytest.raises(IntegrityError):
        Article._base_manager.bulk_create([Article(title="plain manager")])
    assert in_step(Article)


def test_text_that_postgres_cannot_store_is_refused_by_name(embedder: Counting) -> None:
    with pytest.raises(TextError, match=r"testapp.Article.title holds a NUL character at position 1"):
        Article.objects.create(title="a\x00b")
    with pytest.raises(TextError, match=r"testapp.Article.body holds half a character"):
        Article.objects.bulk_create([Article(title="x", body="\ud800")])
    assert embedder.calls == []


# --- when the embedder fails ----------------------------------------------------------------------


def failing_writes(article: Article) -> Iterator[Callable[[], Any]]:
    article.title = "changed"
    yield article.save
    yield lambda: Article.objects.create(title="new")
    yield lambda: Article.objects.bulk_create([Article(title="new")])
    yield lambda: Article.objects.bulk_update([article], ["title"])
    yield lambda: Article.objects.update(title="changed")
    yield lambda: Article.objects.filter(pk=article.pk).update(brand=Brand.objects.create(name="unknown"))
    yield lambda: Article.objects.get_or_create(title="new")
    yield lambda: Article.objects.update_or_create(title="Kettle 0", defaults={"title": "changed"})
    yield lambda: Article.search.load([Article(title="new")])


@pytest.mark.parametrize("place", ["autocommit", "atomic"])
def test_nothing_is_written_when_the_embedder_fails(place: str, embedder: Counting) -> None:
    article = articles(1)[0]
    before = list(Article.objects.values())
    with embedder.out_of_order():
        for write in failing_writes(article):
            with transaction.atomic() if place == "atomic" else nullcontext():
                with (
                    pytest.raises(EmbedderUnavailable),
                    transaction.atomic() if place == "atomic" else nullcontext(),
                ):
                    write()
                assert list(Article.objects.values()) == before
    assert in_step(Article)


def test_a_write_that_fails_before_its_transaction_leaves_an_outer_one_usable(embedder: Counting) -> None:
    with transaction.atomic():
        with pytest.raises(EmbedderRefused):
            Article.objects.create(title="poison")
        with pytest.raises(EmbedderRefused):
            Article.objects.update_or_create(title="poison")
        Article.objects.create(title="cure")
    assert in_step(Article)


def test_an_embedder_that_dawdles_in_a_transaction_is_cut_off(embed_with: Callable[..., Counting]) -> None:
    embedder = embed_with(
        delay_s=0.3, search={"atomic_timeout_s": 0.1, "write_timeout_s": 20, "batch_size": 4}
    )
    with pytest.raises(EmbedderTimeout), transaction.atomic():
        Article.objects.create(title="slow")
    Article.objects.bulk_create([Article(title=f"patient {i}") for i in range(9)])
    assert embedder.timeouts == [0.1, 60]
    embedder.delay_s = 0
    assert in_step(Article)


def test_the_wait_in_a_transaction_is_capped_for_every_path(embedder: Counting) -> None:
    article = articles(1)[0]
    article.title = "saved"
    embedder.forget()
    with transaction.atomic():
        article.save()
        Article.objects.update(title="updated")
        Article.objects.bulk_create([Article(title=f"more {i}") for i in range(200)])
        with Article.search.in_step():
            sql("UPDATE testapp_article SET title = 'raw' || id")
    assert set(embedder.timeouts) == {5.0}


# --- what is paid for -----------------------------------------------------------------------------


def test_one_batched_call_for_many_records(embedder: Counting) -> None:
    found = articles(50)
    assert len(embedder.calls) == 1
    for article in found:
        article.body += " exactly"
    Article.objects.bulk_update(found, ["body"], batch_size=20)
    assert len(embedder.calls) == 2
    Article.objects.update(title=Concat(F("title"), Value(" again")))
    assert len(embedder.calls) == 3


def test_text_that_did_not_change_is_not_paid_for(embedder: Counting) -> None:
    article = articles(1)[0]
    embedder.forget()
    article.save()
    article.views = 3
    article.save()
    Article.objects.update(views=4)
    Article.objects.update(title=F("title"))
    Article.objects.bulk_update([article], ["views", "title"])
    assert embedder.calls == []


def test_the_same_text_in_two_records_is_paid_for_once(embedder: Counting) -> None:
    Article.objects.bulk_create([Article(title="twin"), Article(title="twin")])
    memory.clear()
    Article.objects.create(title="twin")
    assert embedder.texts == ["twin"]
    assert in_step(Article)


@pytest.mark.parametrize("remembered", [True, False])
def test_unchanged_chunks_of_an_edited_document_are_not_paid_for_again(
    remembered: bool, embedder: Counting
) -> None:
    article = Article.objects.create(title="Long", body=LONG)
    assert len(embedder.texts) > 5
    embedder.forget()
    if not remembered:
        memory.clear()
    article.body = LONG + "\n\nOne more paragraph."
    article.save()
    assert 1 <= len(embedder.texts) <= 2
    assert in_step(Article)


def test_a_retry_after_a_rollback_is_free(embedder: Counting) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            doomed(lambda: Article.objects.create(title="again and again"))
    Article.objects.create(title="again and again")
    assert len(embedder.calls) == 1


def test_prepare_makes_saves_in_a_transaction_call_no_model(embedder: Counting) -> None:
    found = articles(5)
    for article in found:
        article.title += " prepared"
    assert Article.search.prepare([*found, Article(title="unsaved")]) == 6
    embedder.forget()
    with transaction.atomic():
        for article in found:
            article.save()
        Article.objects.create(title="unsaved")
    assert embedder.calls == []
    assert in_step(Article)


# --- statements -----------------------------------------------------------------------------------


def statements(capture: Any) -> list[str]:
    return [query["sql"] for query in capture.captured_queries]


def test_statements_of_the_common_paths(embedder: Counting, django_assert_num_queries: Any) -> None:
    """BEGIN and COMMIT count too. Without the index: create 1, save 1, bulk_create 3, update 1, delete 3."""
    article = articles(1)[0]
    with django_assert_num_queries(5):  # vectors at hand?, BEGIN, INSERT, settle, COMMIT
        Article.objects.create(title="created")
    with django_assert_num_queries(1):
        Article.objects.filter(pk=article.pk).update(views=1)
    article.views = 2
    with django_assert_num_queries(1):
        article.save(update_fields=["views"])
    with django_assert_num_queries(5):  # embedded?, BEGIN, UPDATE, in step?, COMMIT
        article.save()
    article.title = "changed"
    with django_assert_num_queries(6):
        article.save()
    with django_assert_num_queries(5):
        Article.objects.bulk_create([Article(title=f"T{i}") for i in range(50)])
    with django_assert_num_queries(11):
        Article.objects.update(title=Concat(F("title"), Value("!")))
    with django_assert_num_queries(1):
        Note.objects.create(text="deferred costs nothing")


def test_deleting_costs_what_it_costs_without_an_index(
    embedder: Counting, django_assert_num_queries: Any
) -> None:
    part = Part.objects.create(code="X1", description="text")
    with django_assert_num_queries(1):
        part.delete()
    Part.objects.create(code="X2", description="text")
    with django_assert_num_queries(3):
        Part.objects.all().delete()


def test_contexts_of_many_records_are_fetched_a_relation_at_a_time(
    embedder: Counting, django_assert_max_num_queries: Any
) -> None:
    brands = Brand.objects.bulk_create(Brand(name=f"Brand {i}") for i in range(30))
    with django_assert_max_num_queries(8):
        found = Article.objects.bulk_create(Article(title=f"T{b.pk}", brand_id=b.pk) for b in brands)
    with django_assert_max_num_queries(11):
        Article.objects.bulk_update(
            [Article(pk=a.pk, title="x", search_context=a.search_context) for a in found], ["title"]
        )
    with django_assert_max_num_queries(11):
        Article.objects.update(title=F("body"))
    Brand.objects.update(name="renamed")
    with django_assert_max_num_queries(18):
        Article.objects.order_by("pk").touch_search()
    assert in_step(Article)


def doomed(*writes: Callable[[], Any]) -> None:
    """Write, then fail."""
    for write in writes:
        write()
    raise ZeroDivisionError


# --- transactions ---------------------------------------------------------------------------------


def test_a_rolled_back_savepoint_takes_the_embedding_along(embedder: Counting) -> None:
    article = articles(1)[0]
    with transaction.atomic():
        Article.objects.update(title="outer")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            doomed(
                lambda: Article.objects.update(title="inner"), lambda: Article.objects.create(title="never")
            )
        article.refresh_from_db()
        assert article.title == "outer"
    assert in_step(Article)
    assert Article.objects.count() == 1


def test_any_order_inside_a_transaction_is_fine(embedder: Counting) -> None:
    found = articles(2)
    with transaction.atomic():
        sql("UPDATE testapp_article SET title = 'raw'")
        for article in found:
            article.refresh_from_db()
            article.body = "then saved"
            article.save()
    assert in_step(Article)


def first_in_step_then_raw(first: Callable[[], Any]) -> None:
    with transaction.atomic():
        with suppress(ZeroDivisionError), Article.search.in_step():
            first()
        sql("UPDATE testapp_article SET title = 'not fine'")


def test_an_error_inside_in_step_does_not_leak_into_the_rest_of_the_transaction(embedder: Counting) -> None:
    articles()
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), Article.search.in_step():
            doomed(lambda: sql("UPDATE testapp_article SET title = 'lost'"))
        assert set(Article.objects.values_list("title", flat=True)) == {"Kettle 0", "Kettle 1", "Kettle 2"}
        assert sql("SELECT coalesce(current_setting('lockstep.' || %s, true), '')", Article.search.slug) in (
            [("",)],
            [("off",)],
        )
        Article.objects.create(title="kept")
    for first in (lambda: sql("UPDATE testapp_article SET title = 'fine'"), doomed):
        with pytest.raises(IntegrityError):
            first_in_step_then_raw(first)
    assert in_step(Article)
    assert sql("SELECT count(*) FROM testapp_article_search_pending") == [(0,)]


def test_in_step_nests(embedder: Counting) -> None:
    articles()
    with Article.search.in_step():
        sql("UPDATE testapp_article SET title = 'outer' WHERE title = 'Kettle 0'")
        with Article.search.in_step():
            sql("UPDATE testapp_article SET title = 'inner' WHERE title = 'Kettle 1'")
        with pytest.raises(ZeroDivisionError), Article.search.in_step():
            doomed(lambda: sql("UPDATE testapp_article SET title = 'lost' WHERE title = 'inner'"))
        Article.objects.filter(title="Kettle 2").update(title="by the ORM")
        sql("UPDATE testapp_article SET body = 'after'")
    assert in_step(Article)
    assert set(Article.objects.values_list("title", flat=True)) == {"outer", "inner", "by the ORM"}


def test_a_failed_embedding_inside_in_step_undoes_the_block_only(embedder: Counting) -> None:
    with transaction.atomic():
        Article.objects.create(title="before")
        with pytest.raises(EmbedderRefused), Article.search.in_step():
            sql("UPDATE testapp_article SET title = 'poison'")
        Article.objects.create(title="after")
    assert in_step(Article)
    assert set(Article.objects.values_list("title", flat=True)) == {"before", "after"}


def test_a_trigger_of_the_project_that_changes_the_text_is_believed(embedder: Counting) -> None:
    sql("""CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$""")
    sql(
        "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON testapp_article FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    try:
        article = Article.objects.create(title="quiet")
        article.title = "quieter"
        article.save()
        Article.objects.bulk_create([Article(title="low"), Article(title="lower")])
        Article.objects.filter(title="LOW").update(title="silent")
        found = list(Article.objects.all())
        for article in found:
            article.title += " please"
        Article.objects.bulk_update(found, ["title"])
        assert in_step(Article)
        assert all(title.isupper() for title in Article.objects.values_list("title", flat=True))
    finally:
        sql("DROP FUNCTION shout() CASCADE")


def test_a_change_of_case_counts_under_a_collation_that_ignores_case(embedder: Counting) -> None:
    article = articles(1)[0]
    with transaction.atomic():
        try:
            sql("CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        except NotSupportedError:
            pytest.skip("this PostgreSQL was built without ICU")
        sql("ALTER TABLE testapp_article ALTER COLUMN title TYPE varchar(200) COLLATE nocase")
        article.title = article.title.upper()
        article.save()
        assert in_step(Article)
        transaction.set_rollback(True)


def test_a_failing_signal_handler_leaves_nothing_behind_on_the_instance(embedder: Counting) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    article = articles(1)[0]
    article.title = "changed"
    models.signals.pre_save.connect(fail, sender=Article)
    try:
        with pytest.raises(ZeroDivisionError):
            article.save()
    finally:
        models.signals.pre_save.disconnect(fail, sender=Article)
    assert not [name for name in vars(article) if name.startswith("_ls")]
    article.save()
    assert in_step(Article)


def test_writes_of_a_signal_handler_keep_step(embedder: Counting) -> None:
    def log(instance: Article, **_: Any) -> None:
        if instance.title != "log":
            Article.objects.create(title="log")
            Article.objects.exclude(title="log").update(body="logged")

    models.signals.post_save.connect(log, sender=Article)
    try:
        article = Article.objects.create(title="event")
        article.title = "second event"
        article.save()
    finally:
        models.signals.post_save.disconnect(log, sender=Article)
    assert in_step(Article)
    assert Article.objects.filter(title="log").count() == 2


def test_null_and_empty_text_are_alike(embedder: Counting) -> None:
    letter = sql("SELECT lockstep_digest_v1(ARRAY['a', NULL, '']), lockstep_digest_v1(ARRAY['a', '', NULL])")
    assert letter[0][0] == letter[0][1]
    assert sql("SELECT lockstep_digest_v1(ARRAY['a', 'b']) <> lockstep_digest_v1(ARRAY['ab', ''])") == [
        (True,)
    ]


# --- fixtures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("natural", [[], ["--natural-primary", "--natural-foreign"]], ids=["keys", "natural"])
@pytest.mark.parametrize("with_siblings", [True, False])
def test_loaddata_restores_what_dumpdata_wrote(
    natural: list[str], with_siblings: bool, embedder: Counting, tmp_path: Any
) -> None:
    author = Author.objects.create(name="Mary")
    Book.objects.bulk_create(
        [Book(isbn=str(i), title=f"Book {i}", author=author, shelf="A") for i in range(3)]
    )
    labels = ["archive", "lockstep_search"] if with_siblings else ["archive.Author", "archive.Book"]
    file = tmp_path / "fixture.json"
    call_command("dumpdata", *labels, *natural, output=str(file), verbosity=0)
    kinds = {row["model"] for row in json.loads(file.read_text())}
    assert ("archive.booksearchmanifest" in kinds) is with_siblings
    Author.objects.all().delete()
    for _ in range(2):
        call_command("loaddata", str(file), stdout=io.StringIO())
        assert in_step(Book, waiting=True)
    assert Book.objects.count() == 3


def test_flush_truncates_everything_and_the_next_write_works(embedder: Counting) -> None:
    articles()
    call_command("flush", interactive=False, verbosity=0)
    assert sql("SELECT count(*) FROM testapp_article_search_chunk") == [(0,)]
    articles()
    call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
    try:
        articles()
        assert in_step(Article)
    finally:  # other tests want content types and permissions
        call_command("flush", interactive=False, verbosity=0)
