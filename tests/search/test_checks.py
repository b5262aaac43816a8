"""System checks: what is wrong is said before it hurts, with the line that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection, connections, models
from django.test.utils import isolate_apps

from lockstep.search import declaration, spaces
from lockstep.search.checks import check_database, check_declarations
from lockstep.search.index import SearchIndex
from lockstep.search.models import Space
from tests.search.conftest import with_embedder
from tests.testapp.embedders import Counting
from tests.testapp.models import Article


def ids(messages: list[CheckMessage]) -> list[str]:
    assert all(message.hint for message in messages)
    return [str(message.id).removeprefix("lockstep_search.") for message in messages]


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def pretend_installed(extension: str, version: str) -> None:
    """A table in front of the catalogue's until the test's rollback: the catalogue itself takes a superuser."""
    sql("SET LOCAL search_path TO pg_temp, public, pg_catalog")
    sql(f"CREATE TEMP TABLE pg_extension AS SELECT '{extension}' AS extname, '{version}' AS extversion")


# --- declarations ---------------------------------------------------------------------------------


def test_a_sound_project_has_nothing_to_hear(settings: Any) -> None:
    assert ids(check_declarations()) == []
    heard = {str(message.id) for message in run_checks() if str(message.id).startswith("lockstep")}
    assert heard <= {"lockstep_core.I001"}  # these settings name no sink for notices


def test_an_embedder_that_does_not_exist_is_named(settings: Any) -> None:
    settings.LOCKSTEP = {"search": {"embedders": {"defualt": {"BACKEND": "x"}}}}
    (first, *_) = check_declarations()
    assert (first.id, first.hint) == ("lockstep_search.E001", "Did you mean 'defualt'?")


@isolate_apps("tests.testapp")
def test_a_strict_model_needs_a_queryset_that_embeds(monkeypatch: Any) -> None:
    class Bare(models.Model):
        text = models.TextField()
        search = SearchIndex(text=["text"])

        class Meta:
            app_label = "testapp"

        def __str__(self) -> str:
            return self.text

    monkeypatch.setattr("lockstep.search.checks.all_indexes", lambda: [Bare.search])
    assert ids(check_declarations()) == ["E002"]


def test_an_embedder_that_cannot_be_built_is_an_error(settings: Any) -> None:
    settings.LOCKSTEP = {"search": {"embedders": {"default": {"BACKEND": "no.such.Embedder"}}}}
    assert set(ids(check_declarations())) == {"E003"}


def test_a_remote_embedder_and_atomic_requests_are_warned_about(settings: Any, monkeypatch: Any) -> None:
    settings.LOCKSTEP = with_embedder(remote=True)
    assert ids(check_declarations()) == []
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)
    found = check_declarations()
    assert set(ids(found)) == {"W004"}
    assert "testapp.Note.search" not in " ".join(str(message.msg) for message in found)


# --- the database ---------------------------------------------------------------------------------


@pytest.mark.django_db
class TestDatabase:
    @pytest.fixture(autouse=True)
    def every_index_has_its_space(self, db: None) -> None:
        """Tests that flushed before took the rows away; the next write would make them anew."""
        for index in declaration.all_indexes():
            spaces.ensure(index, "default")

    def test_a_sound_database_has_nothing_to_hear(self) -> None:
        assert ids(check_database(databases=["default"])) == []
        assert ids(check_database(databases=None)) == []

    def test_looking_changes_nothing(self) -> None:
        Space.objects.all().delete()
        spaces.forget()
        check_database(databases=["default"])
        assert not Space.objects.exists()

    @pytest.mark.parametrize(
        ("version", "found"),
        [("0.7.4", ["E011"]), ("0.8.0", ["W011"]), ("0.8.3", ["W011"]), ("0.8.4", []), ("0.10.0", [])],
    )
    def test_old_pgvectors_are_told_apart(self, version: str, found: list[str]) -> None:
        pretend_installed("vector", version)
        assert ids(check_database(databases=["default"])) == found

    def test_a_missing_pgvector_comes_with_the_line_for_the_administrator(self) -> None:
        pretend_installed("victor", "0.8.4")
        (message,) = check_database(databases=["default"])
        assert message.id == "lockstep_search.E010"
        assert "CREATE EXTENSION vector;" in str(message.hint)

    def test_an_old_postgres_is_an_error(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(connections["default"].__dict__, "pg_version", 150004)
        assert ids(check_database(databases=["default"])) == ["E012"]

    def test_another_model_in_the_settings_is_warned_about(self, embed_with: Callable[..., Counting]) -> None:
        embed_with(dimensions=32)
        found = check_database(databases=["default"])
        assert set(ids(found)) == {"W012"}
        assert "--new-space" in str(found[0].hint)

    def test_a_missing_vector_index_is_warned_about(self) -> None:
        sql(f"DROP INDEX {spaces.active(Article.search, 'default').table}_v")
        assert ids(check_database(databases=["default"])) == ["W013"]

    def test_rows_that_nobody_vouches_for_are_warned_about(self) -> None:
        key = f"{Article.search.slug}_embedded"
        sql(f"ALTER TABLE testapp_article DROP CONSTRAINT {key}")
        sql(
            f"ALTER TABLE testapp_article ADD CONSTRAINT {key} FOREIGN KEY (id, search_digest) REFERENCES"
            " testapp_article_search_manifest (record_id, digest) DEFERRABLE INITIALLY DEFERRED NOT VALID"
        )
        (message,) = check_database(databases=["default"])
        assert message.id == "lockstep_search.W014"
        assert message.hint == "Run: manage.py lockstep_reembed testapp.Article.search"

    def test_disabled_triggers_are_warned_about(self) -> None:
        sql("ALTER TABLE testapp_article DISABLE TRIGGER USER")
        (message,) = check_database(databases=["default"])
        assert message.id == "lockstep_search.W015"
        assert "--verify" in str(message.hint)

    def test_a_trigger_that_runs_after_ours_is_warned_about(self) -> None:
        sql("CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        sql("CREATE TRIGGER early BEFORE UPDATE ON archive_book FOR EACH ROW EXECUTE FUNCTION late()")
        assert ids(check_database(databases=["default"])) == []
        sql("CREATE TRIGGER zzzz BEFORE UPDATE ON archive_book FOR EACH ROW EXECUTE FUNCTION late()")
        assert set(ids(check_database(databases=["default"]))) == {"W016"}


@pytest.mark.usefixtures("transactional_db")
def test_a_table_of_ours_that_is_not_migrated_yet_is_passed_over() -> None:
    sql("ALTER TABLE lockstep_search_space RENAME COLUMN chunker TO later")
    try:
        assert ids(check_database(databases=["default"])) == []
    finally:
        sql("ALTER TABLE lockstep_search_space RENAME COLUMN later TO chunker")


def test_every_index_is_checked() -> None:
    assert {index.label for index in declaration.all_indexes()} >= {
        "testapp.Article.search",
        "archive.Book.places",
    }
