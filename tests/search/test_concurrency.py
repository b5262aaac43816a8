"""Several writers at once, and writers that die: what is committed is in step, whoever wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from lockstep.search import queue
from tests.processes import run, start
from tests.search.oracle import in_step
from tests.search.workers import environment, kill_at, write_at_random
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.usefixtures("transactional_db")


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("place", ["embedded", "written"])
def test_a_writer_killed_before_its_commit_leaves_nothing(
    place: str, embedder: Counting, tmp_path: Path
) -> None:
    status = run(
        kill_at, place, "testapp.Article", {"title": "doomed"}, {},
        environment=environment(), output=tmp_path / "output.txt",
    )  # fmt: skip
    assert status == -9
    assert not Article.objects.exists()
    for kind in ("document", "manifest", "chunk", "pending"):
        assert sql(f"SELECT count(*) FROM testapp_article_search_{kind}") == [(0,)]
    Article.objects.create(title="doomed")
    assert in_step(Article)


def test_writers_in_several_processes_leave_every_record_in_step(embedder: Counting, tmp_path: Path) -> None:
    Article.objects.bulk_create(Article(title=f"T{i}", sku=f"S{i}") for i in range(5))
    writers = [
        start(
            write_at_random,
            seed,
            2.5,
            {"delay_s": 0.01},
            environment=environment(),
            output=tmp_path / f"{seed}.txt",
        )
        for seed in range(4)
    ]
    for writer in writers:
        writer.join(60)
    said = [(tmp_path / f"{seed}.txt").read_text() for seed in range(4)]
    assert [writer.exitcode for writer in writers] == [0] * 4, said
    assert in_step(Article)
    assert sql("SELECT count(*) FROM testapp_article_search_pending") == [(0,)]


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start in a thread with a connection of its own. Returns: a function that waits and gives the error."""
    errors: list[BaseException | None] = []

    def target() -> None:
        try:
            work()
            errors.append(None)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=target)
    thread.start()

    def join() -> BaseException | None:
        thread.join(30)
        return errors[0]

    return join


def test_the_second_of_two_saves_waits_for_the_first_and_stays_in_step(embedder: Counting) -> None:
    article = Article.objects.create(title="zero")

    def second() -> None:
        mine = Article.objects.get(pk=article.pk)
        mine.title = "second"
        mine.save()

    with transaction.atomic():
        article.body = "first"
        article.save()
        join = in_thread(second)
        join_later = threading.Event()
        join_later.wait(0.3)
    assert join() is None
    article.refresh_from_db()
    assert (article.title, article.body) == ("second", "")
    assert in_step(Article)


def test_a_save_whose_text_was_embedded_for_an_older_row_is_settled_anew(
    embedder: Counting, monkeypatch: Any
) -> None:
    """Both read, both embed outside their transactions, one commits in between."""
    article = Article.objects.create(title="zero", body="zero")
    mine = Article.objects.get()
    mine.body = "mine"

    def meanwhile(texts: Any, deadline: Any) -> Any:
        monkeypatch.undo()
        found = Counting._embed(embedder, texts, deadline)
        in_thread(lambda: Article.objects.filter(pk=article.pk).update(title="theirs"))()
        return found

    monkeypatch.setattr(embedder, "_embed", meanwhile)
    mine.save(update_fields=["body"])
    article.refresh_from_db()
    assert (article.title, article.body) == ("theirs", "mine")
    assert in_step(Article)


def test_an_update_that_hits_more_rows_than_it_embedded_for_is_settled(
    embedder: Counting, monkeypatch: Any
) -> None:
    Article.objects.create(title="one")

    def meanwhile(texts: Any, deadline: Any) -> Any:
        monkeypatch.undo()
        in_thread(lambda: Article.objects.create(title="two", body="late"))()
        return Counting._embed(embedder, texts, deadline)

    monkeypatch.setattr(embedder, "_embed", meanwhile)
    assert Article.objects.update(title="all") == 2
    assert in_step(Article)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_under_stricter_isolation_the_loser_is_refused_never_stale(level: str, embedder: Counting) -> None:
    note = Note.objects.create(text="before")
    article = Article.objects.create(title="before")

    def embed_note() -> None:
        list(queue.work_off(Note.search, "default", 10))

    def lose(write: Callable[[], Any], meanwhile: Callable[[], Any]) -> None:
        with transaction.atomic():
            sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
            sql("SELECT count(*) FROM testapp_note, testapp_article")
            assert in_thread(meanwhile)() is None
            write()

    with pytest.raises((OperationalError, IntegrityError)):
        lose(lambda: Note.objects.update(text="after"), embed_note)
    assert in_step(Note)

    def change() -> None:
        Article.objects.filter(pk=article.pk).update(title="winner")

    with pytest.raises((OperationalError, IntegrityError)):
        lose(lambda: Article.objects.filter(pk=article.pk).update(title="loser"), change)
    assert in_step(Article)
    assert Article.objects.get().title == "winner"
    assert Note.objects.get().pk == note.pk


def test_a_follower_passes_over_a_record_that_is_being_written(embedder: Counting) -> None:
    """And does not wait for it: with a writer of several records each would wait for the other."""
    first, second = Note.objects.bulk_create([Note(text="first"), Note(text="second")])
    with transaction.atomic():
        Note.objects.filter(pk=first.pk).update(text="being written")
        embedded: list[int] = []
        assert in_thread(lambda: embedded.extend(queue.work_off(Note.search, "default", 10)))() is None
        Note.objects.filter(pk=second.pk).update(text="also written")
    assert embedded == [1]
    assert in_step(Note, waiting=True)
    assert queue.backlog(Note.search, "default").waiting == 2


def test_two_writers_in_opposite_order_fare_as_without_an_index(embedder: Counting) -> None:
    """Postgres ends one of two that wait for each other. The other's work and ours stay whole."""
    one, two = Article.objects.bulk_create([Article(title="1"), Article(title="2")])
    ready, go = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            Article.objects.filter(pk=two.pk).update(title="other")
            ready.set()
            go.wait(10)
            Article.objects.filter(pk=one.pk).update(title="other")

    join = in_thread(other)
    ready.wait(10)
    mine: BaseException | None = None
    try:
        with transaction.atomic():
            Article.objects.filter(pk=one.pk).update(title="mine")
            go.set()
            Article.objects.filter(pk=two.pk).update(title="mine")
    except DatabaseError as error:
        mine = error
    errors = [error for error in (mine, join()) if error]
    assert [type(error) for error in errors] == [OperationalError]
    assert in_step(Article)
