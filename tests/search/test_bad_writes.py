"""Whatever is to be written: it is stored whole, or refused by name with nothing written and nothing lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from lockstep.search import queue
from lockstep.search.exceptions import BadAnswer, BadVector, EmbedderError, WrongDimensions
from tests.search.oracle import attached, in_step
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Brand, Note

pytestmark = pytest.mark.usefixtures("transactional_db")

GOOD = [0.125] * 64

ANSWERS: dict[str, tuple[Callable[[int], list[Any]], type[EmbedderError]]] = {
    "too few vectors": (lambda count: [GOOD] * (count - 1), BadAnswer),
    "too many vectors": (lambda count: [GOOD] * (count + 1), BadAnswer),
    "another dimension": (lambda count: [GOOD[:32]] * count, WrongDimensions),
    "no dimension": (lambda count: [[]] * count, WrongDimensions),
    "NaN": (lambda count: [[math.nan, *GOOD[1:]]] * count, BadVector),
    "infinity": (lambda count: [[*GOOD[1:], math.inf]] * count, BadVector),
    "zero": (lambda count: [[0.0] * 64] * count, BadVector),
    "no numbers": (lambda count: [["0.1"] * 64] * count, BadVector),
}


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def garble(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], list[Any]]) -> None:
    monkeypatch.setattr(Counting, "_embed", lambda self, texts, deadline: answer(len(texts)))


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_strict_write_with_a_vector_that_is_none_is_refused(
    kind: str, embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    article = Article.objects.create(title="before")
    answer, error = ANSWERS[kind]
    with monkeypatch.context() as patched:
        garble(patched, answer)
        article.title = "after"
        for write in (
            article.save,
            lambda: Article.objects.bulk_create([Article(title="a"), Article(title="b")]),
            lambda: Article.objects.update(title="after"),
        ):
            with pytest.raises(error):
                write()
            with pytest.raises(error), transaction.atomic():
                write()
    assert list(Article.objects.values_list("title", flat=True)) == ["before"]
    assert in_step(Article)
    article.save()
    assert in_step(Article)


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_deferred_record_whose_vector_is_none_waits_for_a_better_one(
    kind: str, embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    Note.objects.bulk_create([Note(text="one"), Note(text="two")])
    answer, error = ANSWERS[kind]
    with monkeypatch.context() as patched:
        garble(patched, answer)
        concerns_all = error is WrongDimensions
        with pytest.raises(error) if concerns_all else nullcontext():
            assert list(queue.work_off(Note.search, "default", 64)) == []
    assert sql("SELECT DISTINCT error FROM testapp_note_search_pending") == [(error.__name__,)]
    assert attached(Note.search) == 0
    assert in_step(Note, waiting=True)
    sql("UPDATE testapp_note_search_pending SET not_before = now()")
    assert sum(queue.work_off(Note.search, "default", 64)) == 2
    assert in_step(Note)


def huge() -> str:
    """5 MB of prose, no word twice."""
    text = "Limescale is removed by citric acid. " + " ".join(
        f"w{number:x} turns valve v{number}." for number in range(200_000)
    )
    assert len(text) > 5_000_000
    return text


@pytest.mark.parametrize("mode", ["strict", "deferred"])
def test_a_document_of_5_megabytes_is_stored_whole_and_found_by_its_beginning(
    mode: str, embedder: Counting
) -> None:
    text = huge()
    if mode == "strict":
        Article.objects.create(title="Manual", body=text)
        found = Article.objects.get()
        kept = found.body
    else:
        Note.objects.create(text=text)
        assert sum(queue.work_off(Note.search, "default", 1)) == 1
        found = Note.objects.get()
        kept = found.text or ""
    assert kept == text
    model = type(found)
    manifest = model.search.siblings.manifest._default_manager.get()
    assert manifest.truncated
    assert attached(model.search) == manifest.chunks == 1000
    for leg in ("lexical", "dense"):
        assert list(model.objects.hybrid_search("limescale citric", legs=[leg])) == [found]
    model.objects.update(**{"body" if mode == "strict" else "text": "short"})
    if mode == "deferred":
        assert sum(queue.work_off(Note.search, "default", 1)) == 1
    assert in_step(model)


def test_a_text_whose_lexemes_pass_the_limit_of_postgres_refuses_nobody(
    embed_with: Callable[..., Counting],
) -> None:
    embed_with(search={"atomic_timeout_s": 120.0})  # 1,000 chunks, on a busy machine perhaps
    text = huge()
    with pytest.raises(OperationalError, match="too long for tsvector"):
        sql("SELECT to_tsvector('english', %s)", text)
    accented = " ".join(f"ärmellänge{number}é" for number in range(15_000))
    many_signs = "".join(chr(0x4E00 + number % 20_000) for number in range(400_000))
    for body in (text, accented, many_signs):
        sql("INSERT INTO testapp_note (id, text, codes) VALUES (gen_random_uuid(), %s, '{}')", body)
        with Article.search.in_step():
            sql(
                "INSERT INTO testapp_article (title, body, sku, lang, public, views)"
                " VALUES ('raw', %s, '', 'en', true, 0)",
                body,
            )
    assert Note.objects.count() == Article.objects.count() == 3
    assert sql("SELECT count(*) FROM testapp_article_search_document WHERE length(tsv) > 100") == [(3,)]
    assert list(Note.objects.hybrid_search("limescale", legs=["lexical"])) == [Note.objects.get(text=text)]


def test_an_instance_that_is_not_saved_has_nothing_to_embed(embedder: Counting) -> None:
    with pytest.raises(ValueError, match="unsaved related object"):
        Article(title="kettle", brand=Brand(name="unsaved")).save()
    assert embedder.calls == []
    with pytest.raises(ValueError, match="unsaved related object"):
        Article.objects.bulk_create([Article(title="kettle", brand=Brand(name="unsaved"))])
    assert Article.search.embed([None, -1]) == 0
    assert Article.search.prepare([]) == 0
    assert not Article.objects.exists()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("👩‍🚀🔥 rocket fuel 🇬🇧", "rocket"),
        ("מסיר אבנית לקומקום", "אבנית"),
        ("<b>bold</b> & <script>alert(1)</script> kettle", "kettle"),
        ("'; DROP TABLE testapp_article; -- kettle", "kettle"),
        ("foo & | !( kettle <-> :*", "kettle"),
        ("kettle %s %(x)s {0} \\ \\' $$ $ls$", "kettle"),
        ("\r\n\t\x01\x7f kettle\u200b\ufeff", "kettle"),
    ],
)
def test_any_text_that_postgres_can_store_is_stored_and_found(
    text: str, query: str, embedder: Counting
) -> None:
    article, note = Article.objects.create(title="x", body=text), Note.objects.create(text=text)
    assert sum(queue.work_off(Note.search, "default", 1)) == 1
    article.refresh_from_db()
    note.refresh_from_db()
    assert (article.body, note.text) == (text, text)
    for found in (article, note):
        assert list(type(found).objects.hybrid_search(query, legs=["lexical"])) == [found]
        type(found).objects.hybrid_search(query)[0].explain()
    assert in_step(Article, Note)
