"""An embedding space is one model's; changing the model is refused until it is asked for."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from lockstep.search import spaces, vector_tables
from lockstep.search.exceptions import SpaceError
from lockstep.search.models import Space
from lockstep.search.vectors import memory
from tests.search.oracle import attached, in_step
from tests.search.workers import until
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.usefixtures("transactional_db")
Change = Callable[..., Counting]


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def run(*arguments: str) -> None:
    call_command("lockstep_reembed", *arguments, stdout=io.StringIO(), stderr=io.StringIO(), verbosity=0)


@pytest.fixture
def another_model(embed_with: Change) -> Any:
    """Tests may change the model; afterwards the spaces are the first ones again."""
    embed_with()
    yield embed_with
    embed_with()
    for index in (Article.search, Note.search):
        spaces.replace(index, "default")
        spaces.drop_retired(index, "default")


def test_migrate_made_the_space_with_its_table_keys_and_index(embedder: Counting) -> None:
    space = spaces.active(Article.search, "default")
    row = Space.objects.get(pk=space.id)
    assert (row.index, row.model, row.dimensions, row.state) == (
        "testapp.Article.search",
        "hashing-v1",
        64,
        "active",
    )
    assert vector_tables.has_vector_index(space.table, "default")
    (kind,) = sql(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attname = 'embedding'", space.table,
    )[0]  # fmt: skip
    assert kind == "halfvec(64)"


def test_another_model_is_refused_until_the_vectors_are_replaced(another_model: Change) -> None:
    article = Article.objects.create(title="first model")
    another_model(dimensions=32)
    with pytest.raises(SpaceError, match=r"lockstep_reembed testapp.Article.search --new-space"):
        Article.objects.create(title="second model")
    article.views = 3
    article.save(update_fields=["views"])
    assert [hit.title for hit in Article.objects.hybrid_search("first")] == ["first model"]
    run("testapp.Article", "--new-space")
    Article.objects.create(title="second model")
    assert in_step(Article)
    assert spaces.active(Article.search, "default").dimensions == 32
    assert Space.objects.filter(index="testapp.Article.search").count() == 1


def test_a_process_that_was_refused_goes_on_once_another_has_replaced_the_space(
    another_model: Change,
) -> None:
    another_model(dimensions=32)
    with pytest.raises(SpaceError):
        spaces.active(Article.search, "default")
    known = dict(spaces._known)
    spaces.replace(Article.search, "default")
    spaces._known.update(known)
    assert spaces.active(Article.search, "default").dimensions == 32


def test_going_back_to_the_old_model_costs_nothing_while_its_vectors_are_there(another_model: Change) -> None:
    Article.objects.bulk_create(Article(title=f"T{i}") for i in range(3))
    Note.objects.create(text="note")
    run("testapp.Note")
    another_model(dimensions=32)
    spaces.replace(Article.search, "default")
    spaces.replace(Note.search, "default")
    Article.objects.filter(title="T1").update(title="written for the new model")
    embedder = another_model()
    memory.clear()
    for index in (Article.search, Note.search):
        spaces.replace(index, "default")
    run()
    assert embedder.texts == ["written for the new model"]
    assert in_step(Article, Note)


def test_migrate_does_not_fail_when_the_settings_name_another_model(
    another_model: Change, caplog: Any
) -> None:
    another_model(dimensions=32)
    with caplog.at_level(logging.WARNING, "lockstep.search"):
        call_command("migrate", verbosity=0)
    assert "testapp.Article.search cannot embed yet" in caplog.text


def test_prefixes_are_part_of_a_space(another_model: Change) -> None:
    another_model(document_prefix="passage: ")
    with pytest.raises(SpaceError):
        Article.objects.create(title="x")


def test_vectors_too_wide_for_an_index_are_refused_with_a_way_out(another_model: Change) -> None:
    another_model(dimensions=4096)
    with pytest.raises(SpaceError, match="at most 4000 dimensions"):
        spaces.replace(Article.search, "default")
    another_model(dimensions=4000)
    spaces.replace(Article.search, "default")
    Article.objects.create(title="wide")
    assert in_step(Article)


def test_a_space_made_in_a_transaction_that_is_rolled_back_is_not_remembered(another_model: Change) -> None:
    Space.objects.filter(index="testapp.Article.search").delete()
    sql("DROP TABLE " + Article.search.chunk_table + "_" + spaces.space_key(Article.search.embedder))
    spaces.forget()
    with transaction.atomic():
        Article.objects.create(title="rolled back")
        Article.objects.create(title="rolled back too")
        transaction.set_rollback(True)
    Article.objects.create(title="stays")
    assert in_step(Article)


def test_the_space_is_looked_up_once_even_inside_transactions(
    embedder: Counting, django_assert_num_queries: Any
) -> None:
    spaces.forget()
    with transaction.atomic():
        spaces.active(Article.search, "default")
        with django_assert_num_queries(0):
            spaces.active(Article.search, "default")


def leave_an_invalid_index(table: str) -> None:
    """Build it CONCURRENTLY beside a writer that does not end, and give up."""
    ((definition,),) = sql(f"SELECT pg_get_indexdef(to_regclass('{table}_v'))")
    sql(f"DROP INDEX {table}_v")
    writer = connection.copy()
    try:
        with writer.cursor() as cursor:
            cursor.execute(f"BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        sql("SET statement_timeout = '200ms'")
        with pytest.raises(OperationalError, match="statement timeout"):
            sql(definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"))
    finally:
        sql("RESET statement_timeout")
        writer.close()


def test_an_index_that_was_killed_while_it_was_built_is_built_anew(embedder: Counting) -> None:
    table = spaces.active(Note.search, "default").table
    Note.objects.create(text="note")
    leave_an_invalid_index(table)
    assert not vector_tables.has_vector_index(table, "default")
    run("testapp.Note")
    assert vector_tables.has_vector_index(table, "default")
    sql(f"DROP INDEX {table}_v")
    run("testapp.Note")
    assert vector_tables.has_vector_index(table, "default")


def test_only_one_process_builds_an_index(embedder: Counting) -> None:
    table = spaces.active(Note.search, "default").table
    sql(f"DROP INDEX {table}_v")
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [f"{table}_v"])
        vector_tables.build_vector_index(table, "default")
        assert not vector_tables.has_vector_index(table, "default")
    finally:
        other.close()
    until(lambda: sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)])
    vector_tables.build_vector_index(table, "default")
    assert vector_tables.has_vector_index(table, "default")


def test_the_vector_index_holds_what_may_be_found_and_nothing_else(embedder: Counting) -> None:
    Note.objects.create(text="note")
    run("testapp.Note")
    Note.objects.update(text="other")
    assert attached(Note.search) == 0
    ((predicate,),) = sql(
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = to_regclass(%s)",
        spaces.active(Note.search, "default").table + "_v",
    )
    assert predicate == "(digest IS NOT NULL)"


def test_a_space_that_a_transaction_made_is_known_until_it_is_rolled_back(
    embedder: Counting, django_assert_num_queries: Any
) -> None:
    """As in a TestCase after a flush: the first write makes the row anew, and the others cost what they always cost."""
    Space.objects.all().delete()
    spaces.forget()
    with transaction.atomic():
        Article.objects.create(title="one")
        with transaction.atomic(), django_assert_num_queries(0):
            spaces.active(Article.search, "default")
        transaction.set_rollback(True)
    assert not Space.objects.filter(index=Article.search.label).exists()
    Article.objects.create(title="two")
    assert Space.objects.filter(index=Article.search.label).exists()
    assert in_step(Article)
