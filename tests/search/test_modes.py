"""Deferred mode: a write marks its record stale in the same transaction; what is stale is never found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, models, transaction
from django.db.models import Value
from django.db.models.functions import Concat, Upper

from lockstep.search import queue
from lockstep.search.exceptions import EmbedderRefused, EmbedderUnavailable
from lockstep.search.vectors import memory
from tests.archive.models import Author, Book, Letter
from tests.search.oracle import attached, in_step, problems
from tests.search.workers import until
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.usefixtures("transactional_db")


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def work_off(*indexes: Any) -> int:
    return sum(size for index in indexes or [Note.search] for size in queue.work_off(index, "default", 64))


def waiting(index: Any = Note.search) -> int:
    return queue.backlog(index, "default").waiting


@pytest.fixture
def note(embedder: Counting) -> Note:
    """One note in step."""
    made = Note.objects.create(text="first text", codes=["AB-1"])
    assert work_off() == 1
    assert in_step(Note)
    embedder.forget()
    return made


def saved(note: Note) -> None:
    note.text = "second text"
    note.save()


def saved_by_expression(note: Note) -> None:
    note.text = Upper("text")
    note.save(update_fields=["text"])


def updated(note: Note) -> None:
    Note.objects.filter(pk=note.pk).update(text=Concat("text", Value(" updated")))


def bulk_updated(note: Note) -> None:
    note.text = "second text"
    Note.objects.bulk_update([note], ["text"])


def upserted(note: Note) -> None:
    Note.objects.bulk_create(
        [Note(pk=note.pk, text="second text")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["text"],
    )


def written_by_hand(note: Note) -> None:
    sql("UPDATE testapp_note SET text = 'second text'")


def written_by_a_plain_manager(note: Note) -> None:
    models.QuerySet(Note).update(text="second text")


def written_inside_in_step(note: Note) -> None:
    with Note.search.in_step():
        sql("UPDATE testapp_note SET text = 'second text'")


def given_another_key(note: Note) -> None:
    sql("UPDATE testapp_note SET id = %s", uuid4())


def emptied(note: Note) -> None:
    Note.objects.update(text=None)


WAYS = [
    saved, saved_by_expression, updated, bulk_updated, upserted, written_by_hand, written_by_a_plain_manager,
    written_inside_in_step, given_another_key, emptied,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_write_marks_the_record_stale_in_the_same_transaction(
    way: Callable[[Note], None], note: Note, embedder: Counting
) -> None:
    with transaction.atomic():
        way(note)
        assert waiting() == 1
        assert attached(Note.search) == 0
        transaction.set_rollback(True)
    assert waiting() == 0
    assert in_step(Note)

    way(note)
    assert embedder.calls == []
    assert waiting() == 1
    assert attached(Note.search) == 0
    assert in_step(Note, waiting=True)
    assert work_off() == 1
    assert in_step(Note)


def test_copy_marks_the_records_stale(embedder: Counting) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY testapp_note (id, text, codes) FROM STDIN") as stream,
    ):
        for i in range(100):
            stream.write_row((str(uuid4()), f"copied {i}", "{}"))
    assert waiting() == 100
    assert in_step(Note, waiting=True)
    assert work_off() == 100
    assert in_step(Note)


def test_a_write_that_leaves_the_text_alone_marks_nothing(note: Note, embedder: Counting) -> None:
    note.codes = ["XY-9"]
    note.save()
    Note.objects.update(codes=["ZZ-1"])
    sql("UPDATE testapp_note SET text = text, search_digest = NULL")
    assert waiting() == 0
    assert in_step(Note)
    assert "zz1" in sql("SELECT ids::text FROM testapp_note_search_document")[0][0]


def test_a_text_that_comes_back_finds_its_vectors_again(note: Note, embedder: Counting) -> None:
    Note.objects.update(text="other")
    Note.objects.update(text="first text")
    assert work_off() == 1
    assert embedder.calls == []
    assert in_step(Note)


@pytest.mark.parametrize("remembered", [True, False])
def test_unchanged_chunks_are_not_paid_for_again(remembered: bool, embedder: Counting) -> None:
    text = "\n\n".join(f"Paragraph {i}. " + f"word{i} " * 60 for i in range(30))
    Note.objects.create(text=text)
    work_off()
    assert len(embedder.texts) > 5
    embedder.forget()
    if not remembered:
        memory.clear()
    Note.objects.update(text=text + "\n\nOne more paragraph.")
    work_off()
    assert 1 <= len(embedder.texts) <= 2
    assert in_step(Note)


def test_deleting_a_waiting_record_takes_its_mark_along(embedder: Counting) -> None:
    note = Note.objects.create(text="short lived")
    assert waiting() == 1
    note.delete()
    assert waiting() == 0
    assert in_step(Note)


def test_words_and_identifiers_are_current_at_once(note: Note) -> None:
    Note.objects.update(text="zebra", codes=["QX-77"])
    ((tsv, ids),) = sql("SELECT tsv::text, ids::text FROM testapp_note_search_document")
    assert "zebra" in tsv
    assert "qx77" in ids


def test_two_indexes_of_one_table_keep_apart(embedder: Counting) -> None:
    book = Book.objects.create(isbn="1", title="Dracula", shelf="A1")
    assert (waiting(Book.search), waiting(Book.places)) == (0, 1)
    work_off(Book.places)
    assert in_step(Book)
    embedder.forget()
    Book.objects.update(shelf="B2")
    assert (waiting(Book.search), waiting(Book.places), embedder.calls) == (0, 1, [])
    book.refresh_from_db()
    book.title = "Dracula's Guest"
    book.save()
    assert (waiting(Book.search), waiting(Book.places)) == (0, 1)
    assert work_off(Book.places) == 1
    assert in_step(Book)


def test_the_follower_draws_the_context_of_what_raw_sql_wrote(embedder: Counting) -> None:
    author = Author.objects.create(name="Mary")
    sql("INSERT INTO archive_letter (subject, body, sender_id) VALUES ('raw', '', %s)", author.pk)
    work_off(Letter.search)
    assert Letter.objects.get().search_context == "Mary"
    assert in_step(Letter)


def test_a_context_that_cannot_be_computed_holds_up_no_other(embedder: Counting, monkeypatch: Any) -> None:
    def context(letter: Letter) -> str:
        return letter.sender.name  # type: ignore[union-attr]

    good, bad = Letter.objects.create(subject="good"), Letter.objects.create(subject="bad")
    Letter.objects.filter(pk=good.pk).update(sender=Author.objects.create(name="Mary"))
    monkeypatch.setattr(Letter.search, "context", context)
    assert work_off(Letter.search) == 1
    assert sql("SELECT record_id, error FROM archive_letter_search_pending") == [(bad.pk, "AttributeError")]
    assert problems(Letter) == [f"archive.Letter.search {bad.pk} is not embedded"]


# --- the queue ------------------------------------------------------------------------------------


def test_a_poisoned_record_holds_up_no_other_and_is_reported(embedder: Counting, caplog: Any) -> None:
    notes = Note.objects.bulk_create(Note(text=f"note {i}" if i != 13 else "poison") for i in range(30))
    assert work_off() == 29
    assert queue.backlog(Note.search, "default").failed == 1
    assert sql("SELECT record_id, attempts, error FROM testapp_note_search_pending") == [
        (notes[13].pk, 1, "EmbedderRefused")
    ]
    assert str(notes[13].pk) in caplog.text
    assert "poison" not in caplog.text
    assert in_step(Note, waiting=True)
    Note.objects.filter(text="poison").update(text="cure")
    assert work_off() == 1
    assert in_step(Note)


def test_a_poisoned_record_costs_few_calls_more(embedder: Counting) -> None:
    Note.objects.bulk_create(Note(text=f"note {i}" if i != 13 else "poison") for i in range(64))
    work_off()
    assert len(embedder.calls) <= 13  # once, then two for each halving of 64


def test_an_error_that_no_backend_should_raise_is_contained_too(embedder: Counting, monkeypatch: Any) -> None:
    def surprise(texts: Any, deadline: Any) -> Any:
        if any("odd" in text for text in texts):
            raise RuntimeError("a bug")
        return Counting._embed(embedder, texts, deadline)

    monkeypatch.setattr(embedder, "_embed", surprise)
    Note.objects.bulk_create([Note(text="even"), Note(text="odd"), Note(text="even too")])
    assert work_off() == 2
    assert sql("SELECT error FROM testapp_note_search_pending") == [("RuntimeError",)]


def test_while_the_embedder_is_down_the_records_wait_longer_and_longer(embedder: Counting) -> None:
    Note.objects.bulk_create(Note(text=f"note {i}") for i in range(3))
    waits = []
    for _ in range(3):
        sql("UPDATE testapp_note_search_pending SET not_before = now()")
        with embedder.out_of_order(), pytest.raises(EmbedderUnavailable):
            work_off()
        waits += sql(
            "SELECT DISTINCT round(extract(epoch FROM not_before - now())) FROM testapp_note_search_pending"
        )
    assert [int(seconds) for (seconds,) in waits] == [2, 4, 8]
    assert len(embedder.calls) == 3
    assert work_off() == 0
    sql("UPDATE testapp_note_search_pending SET not_before = now()")
    assert work_off() == 3
    assert in_step(Note)


def test_the_provider_may_say_how_long_to_wait(embedder: Counting) -> None:
    Note.objects.create(text="note")
    with (
        embedder.out_of_order(EmbedderUnavailable("Busy.", retry_after_s=90)),
        pytest.raises(EmbedderUnavailable),
    ):
        work_off()
    assert sql("SELECT round(extract(epoch FROM not_before - now())) FROM testapp_note_search_pending") == [
        (90,)
    ]


def test_a_wrong_key_is_not_tried_with_each_record(embedder: Counting) -> None:
    Note.objects.bulk_create(Note(text=f"note {i}") for i in range(20))
    with embedder.out_of_order(EmbedderRefused("Who are you?", status=401)), pytest.raises(EmbedderRefused):
        work_off()
    assert len(embedder.calls) == 1


def test_a_record_that_the_database_refuses_holds_up_no_other(embedder: Counting) -> None:
    sql("ALTER TABLE testapp_note DISABLE TRIGGER USER")
    sql(
        "INSERT INTO testapp_note (id, text, codes)"
        " SELECT gen_random_uuid(), 'old ' || i, '{}' FROM generate_series(1, 20) i"
    )
    sql("ALTER TABLE testapp_note ENABLE TRIGGER USER")
    sql("ALTER TABLE testapp_note ADD CONSTRAINT no_seven CHECK (text <> 'old 7') NOT VALID")
    try:
        queue.enqueue(Note.search, "default")
        assert work_off() == 19
        assert sql("SELECT error FROM testapp_note_search_pending") == [("IntegrityError",)]
    finally:
        sql("ALTER TABLE testapp_note DROP CONSTRAINT no_seven")


def test_a_text_that_changes_while_the_model_reads_is_embedded_again(
    embedder: Counting, monkeypatch: Any
) -> None:
    note = Note.objects.create(text="before")

    def meanwhile(texts: Any, deadline: Any) -> Any:
        if texts == ["before"]:
            Note.objects.filter(pk=note.pk).update(text="after")
        return Counting._embed(embedder, texts, deadline)

    monkeypatch.setattr(embedder, "_embed", meanwhile)
    assert work_off() == 0
    assert attached(Note.search) == 0
    assert until(lambda: work_off() == 1)
    assert embedder.texts == ["before", "after"]
    assert in_step(Note)


def test_a_strict_model_and_a_deferred_one_in_one_transaction(embedder: Counting) -> None:
    with transaction.atomic():
        Note.objects.create(text="later")
        Article.objects.create(title="now")
    assert embedder.texts == ["now"]
    assert in_step(Article)
    assert in_step(Note, waiting=True)


def test_claims_and_marks_leave_nothing_locked_behind(embedder: Counting) -> None:
    Note.objects.bulk_create(Note(text=f"note {i}") for i in range(10))
    with pytest.raises(EmbedderUnavailable), embedder.out_of_order():
        work_off()
    assert sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == [
        (0,)
    ]


def test_behind_a_pooler_claims_belong_to_a_transaction(embedder: Counting, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    Note.objects.bulk_create(Note(text=f"note {i}" if i else "poison") for i in range(10))
    assert work_off() == 9
    Note.objects.create(text="more")
    with pytest.raises(EmbedderUnavailable), embedder.out_of_order():
        work_off()
    assert waiting() == 2
    assert sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == [
        (0,)
    ]
    assert in_step(Note, waiting=True)
