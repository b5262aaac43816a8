"""``lockstep_reembed`` in real processes: shared work, kills, following, and a slow model that holds up nobody."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lockstep.search import queue, stats
from lockstep.search.models import LexemeStat
from tests.processes import start
from tests.search.oracle import in_step
from tests.search.test_concurrency import in_thread
from tests.search.workers import environment, reembed, until
from tests.testapp.embedders import Counting, calls_in
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def follower(log: Path) -> Iterator[Callable[..., BaseProcess]]:
    """Starts ``lockstep_reembed`` in a process; whatever is left is killed at the end."""
    started: list[BaseProcess] = []

    def begin(*arguments: str, **options: Any) -> BaseProcess:
        options = {"log": str(log), **options}
        process = start(
            reembed, ("testapp.Note", *arguments), options,
            environment=environment(), output=log.with_suffix(".txt"),
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def notes(count: int, text: str = "note") -> None:
    Note.objects.bulk_create(Note(text=f"{text} {i}") for i in range(count))


def none_wait() -> bool:
    return queue.backlog(Note.search, "default").waiting == 0


def run(*arguments: str, **options: Any) -> str:
    output = io.StringIO()
    call_command("lockstep_reembed", *arguments, stdout=output, stderr=io.StringIO(), **options)
    return output.getvalue()


def test_three_processes_embed_each_record_once(
    embedder: Counting, follower: Callable[..., BaseProcess], log: Path
) -> None:
    notes(200)
    processes = [follower("--batch-size", "10", delay_s=0.02) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0], log.with_suffix(".txt").read_text()
    calls = calls_in(log)
    assert Counter(text for call in calls for text in call["texts"]) == Counter(
        f"note {i}" for i in range(200)
    )
    assert len({call["pid"] for call in calls}) > 1
    assert in_step(Note)
    assert none_wait()


def test_others_finish_what_a_killed_process_had_begun(
    embedder: Counting, follower: Callable[..., BaseProcess], log: Path
) -> None:
    notes(20)
    notes(20, "slow")
    doomed = follower("--batch-size", "40", delay_s=30)
    until(lambda: calls_in(log))
    other = follower("--batch-size", "40")
    until(
        lambda: sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    time.sleep(0.5)
    assert other.is_alive()  # it waits for what the first has claimed
    doomed.kill()
    other.join(30)
    assert other.exitcode == 0
    assert in_step(Note)
    assert none_wait()


def test_a_follower_picks_up_what_is_written_while_it_runs(
    embedder: Counting, follower: Callable[..., BaseProcess], log: Path
) -> None:
    notes(3)
    process = follower("--follow", "--poll-s", "0.05", "--stats-s", "0")
    until(none_wait)
    notes(3, "later")
    until(none_wait)
    Note.objects.update(text="changed")
    until(none_wait)
    assert in_step(Note)
    until(lambda: stats.documents(Note.search, "default") == 6)
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()")  # fmt: skip
    notes(2, "after the connection was lost")
    until(none_wait)
    assert process.is_alive()
    assert in_step(Note)


def test_a_writer_does_not_wait_for_a_model_that_works_on_its_record(
    embedder: Counting, follower: Callable[..., BaseProcess], log: Path
) -> None:
    notes(5)
    follower("--follow", "--poll-s", "0.05", delay_s=20, delay_text="note")
    until(lambda: calls_in(log))
    begun = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
        try:
            assert Note.objects.update(text="written meanwhile") == 5
            Note.objects.filter(pk=Note.objects.values("pk")[:1]).delete()
            cursor.execute("ALTER TABLE testapp_note ADD COLUMN added int")
            cursor.execute("ALTER TABLE testapp_note DROP COLUMN added")
        finally:
            cursor.execute("SET lock_timeout = 0")
    assert len(calls_in(log)) == 1, "the model was no longer at work"
    assert time.monotonic() - begun < 20
    assert in_step(Note, waiting=True)


def test_an_embedder_that_is_down_loses_nothing(
    embedder: Counting, follower: Callable[..., BaseProcess], log: Path
) -> None:
    notes(3, "poison")
    notes(3)
    follower("--follow", "--poll-s", "0.05", poison="note")
    until(lambda: queue.backlog(Note.search, "default").failed == 3)
    until(lambda: queue.backlog(Note.search, "default").waiting == 3)
    Note.objects.filter(text__startswith="note").update(text="cured")
    until(none_wait)
    assert in_step(Note)


def test_a_record_that_is_deleted_while_it_is_being_queued_ends_no_follower(embedder: Counting) -> None:
    sql("ALTER TABLE testapp_note DISABLE TRIGGER USER")
    notes(3)
    sql("ALTER TABLE testapp_note ENABLE TRIGGER USER")
    sql("""CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$""")
    sql("CREATE TRIGGER dawdle BEFORE INSERT ON testapp_note_search_pending"
        " FOR EACH ROW EXECUTE FUNCTION dawdle()")  # fmt: skip

    def delete() -> None:
        until(lambda: sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        sql("DELETE FROM testapp_note WHERE text = 'note 1'")

    try:
        join = in_thread(delete)
        assert queue.enqueue(Note.search, "default") == 2
        assert join() is None
    finally:
        sql("DROP FUNCTION dawdle() CASCADE")
    run("testapp.Note")
    assert Note.objects.count() == 2
    assert in_step(Note)


# --- in this process ------------------------------------------------------------------------------


def test_it_says_what_it_did(embedder: Counting) -> None:
    notes(5)
    assert "testapp.Note.search: 5 embedded, 0 waiting, 0 of them failed." in run("testapp.Note.search")
    assert run("testapp.Note", verbosity=0) == ""
    assert "archive.Book.places: 0 embedded" in run()


def test_it_fails_loudly_where_records_could_not_be_embedded(embedder: Counting) -> None:
    notes(2)
    Note.objects.create(text="poison")
    with pytest.raises(CommandError, match="1 records could not be embedded"):
        run("testapp.Note")
    sql("UPDATE testapp_note_search_pending SET not_before = now()")
    with embedder.out_of_order(), pytest.raises(CommandError, match=r"testapp.Note.search: Nobody at home"):
        run("testapp.Note")


def test_it_names_what_was_probably_meant(embedder: Counting) -> None:
    with pytest.raises(CommandError, match=r"Did you mean 'testapp.note.search'"):
        run("testapp.Nite")
    with pytest.raises(CommandError, match=r"No database 'defualt'. Did you mean 'default'"):
        run(database="defualt")
    with pytest.raises(CommandError, match="--batch-size"):
        run("--batch-size", "-1")


def test_it_counts_words_anew(embedder: Counting) -> None:
    notes(4)
    run("testapp.Note")
    assert stats.documents(Note.search, "default") == 4
    assert LexemeStat.objects.get(index="testapp.Note.search", lexeme="note").df == 4
    Note.objects.all()[0].delete()
    output = io.StringIO()
    call_command("lockstep_stats", "testapp.Note", stdout=output)
    assert "words of 3 records counted" in output.getvalue()


def test_records_read_under_an_older_declaration_are_read_again(embedder: Counting) -> None:
    notes(3)
    run("testapp.Note")
    embedder.forget()
    sql("UPDATE testapp_note_search_document SET recipe = 'older', tsv = ''")
    run("testapp.Note")
    assert embedder.calls == []
    assert in_step(Note)


def test_verify_finds_what_was_written_while_triggers_were_off(embedder: Counting) -> None:
    notes(3)
    Article.objects.create(title="strict")
    run()
    for table, column in (("testapp_note", "text"), ("testapp_article", "title")):
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        sql(f"UPDATE {table} SET {column} = 'behind our back'")
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    run()
    assert sql("SELECT 1 FROM testapp_note WHERE search_digest <> lockstep_digest_v1(ARRAY[text])") != []
    assert "3 embedded" in run("testapp.Note", "--verify")
    run("testapp.Article", "--verify")
    assert in_step(Note, Article)
