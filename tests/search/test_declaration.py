"""What may be declared, and what is refused when the class is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps

from lockstep.search.declaration import Declaration, all_indexes, indexes_of, text_digest
from lockstep.search.exceptions import DeclarationError
from lockstep.search.index import SearchIndex
from tests.archive.models import Book, Classic
from tests.testapp.models import Article, Described, Machine, Part, PoweredMachine


def model(bases: tuple[type, ...] = (models.Model,), **attributes: Any) -> Any:
    """A throw-away model class of testapp."""
    meta = attributes.pop("Meta", {})
    values = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "testapp", **meta})}
    return type("Thing", bases, values | attributes)


FAULTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "one name for a list": ('text={"title": "A"}', lambda: SearchIndex(text="title")),
    "one identifier for a list": ('text={"title": "A"}', lambda: SearchIndex(text=["title"], identifiers="sku")),
    "no text": ("at least one field", lambda: SearchIndex(text=[])),
    "an unknown weight": ("one of A, B, C, D", lambda: SearchIndex(text={"title": "E"})),
    "an unknown mode": ('"strict" or "deferred"', lambda: SearchIndex(text=["title"], mode="lenient")),  # type: ignore[arg-type]
    "an unknown field": ("no field 'titel'", lambda: model(t=models.TextField(), search=SearchIndex(text=["titel"]))),
    "a field across a relation": ("goes into context=", lambda: model(search=SearchIndex(text=["brand__name"]))),
    "a number as text": ("is a IntegerField", lambda: model(n=models.IntegerField(), search=SearchIndex(text=["n"]))),
    "a date as identifier": (
        "character, integer, UUID or array",
        lambda: model(t=models.TextField(), d=models.DateField(), search=SearchIndex(text=["t"], identifiers=["d"])),
    ),
    "a field of the parent's table": (
        "declare the index there",
        lambda: model((Machine,), search=SearchIndex(text=["description"])),
    ),
    "a table of somebody else": (
        "is unmanaged",
        lambda: model(t=models.TextField(), search=SearchIndex(text=["t"]), Meta={"managed": False}),
    ),
    "a composite key": (
        "composite primary key",
        lambda: model(
            a=models.IntegerField(), b=models.IntegerField(), t=models.TextField(), search=SearchIndex(text=["t"]),
            pk=models.CompositePrimaryKey("a", "b"),
        ),
    ),
    "a name that is taken": (
        "already has a field 'search_digest'",
        lambda: model(t=models.TextField(), search_digest=models.TextField(), search=SearchIndex(text=["t"])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@isolate_apps("tests.testapp")
def test_a_declaration_that_cannot_work_is_refused_with_a_reason(fault: str) -> None:
    reason, declare = FAULTS[fault]
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert reason in str(caught.value)
    assert isinstance(caught.value, ImproperlyConfigured)


def test_an_abstract_base_gives_each_child_an_index_of_its_own() -> None:
    assert [index.label for index in indexes_of(Part)] == ["testapp.Part.search"]
    assert [index.label for index in indexes_of(Machine)] == ["testapp.Machine.search"]
    assert Part.search is not Machine.search
    assert not hasattr(Described.search, "model")


def test_children_and_proxies_share_the_index_of_the_table_that_holds_the_text() -> None:
    assert list(indexes_of(PoweredMachine)) == [Machine.search]
    assert PoweredMachine.search is Machine.search
    assert list(indexes_of(Classic)) == [Book.search, Book.places]


@isolate_apps("tests.testapp")
def test_a_child_may_index_columns_of_its_own() -> None:
    child = model((Machine,), manual=models.TextField(), guide=SearchIndex(text=["manual"]))
    assert [index.attname for index in indexes_of(child)] == ["guide", "search"]
    assert child.guide.pk_column == "machine_ptr_id"


def test_each_index_of_the_project_is_known_once() -> None:
    labels = [index.label for index in all_indexes()]
    assert len(labels) == len(set(labels))
    assert {"testapp.Article.search", "archive.Book.search", "archive.Book.places"} <= set(labels)


def test_siblings_are_models_of_the_same_app_without_permissions() -> None:
    document = apps.get_model("testapp", "ArticleSearchDocument")
    assert document._meta.db_table == "testapp_article_search_document"
    assert document._meta.default_permissions == ()
    assert not [
        field
        for field in Article._meta.get_fields()
        if field.is_relation and field.name.startswith("article")
    ]


@isolate_apps("tests.testapp")
def test_names_stay_inside_what_postgres_keeps() -> None:
    long = model(t=models.TextField(), search=SearchIndex(text=["t"]), Meta={"db_table": "x" * 63})
    tables = [long.search.sibling_table(kind) for kind in ("document", "manifest", "pending", "chunk")]
    assert len(set(tables)) == 4
    assert all(len(f"{table}_12345678_v") <= 63 for table in tables)


def test_a_plain_list_weighs_all_fields_alike() -> None:
    assert SearchIndex(text=["a", "b"]).text == {"a": "B", "b": "B"}


def test_the_recipe_changes_with_what_the_database_holds_and_only_then() -> None:
    @isolate_apps("tests.testapp")
    def recipe(**options: Any) -> str:
        fields = {"t": models.TextField(), "u": models.TextField(), "codes": ArrayField(models.TextField())}
        found: str = model(**fields, search=SearchIndex(**{"text": {"t": "A"}, **options})).search.recipe
        return found

    plain = recipe()
    assert plain == recipe() == recipe(mode="deferred") == recipe(embedder="other")
    changed = [
        recipe(text={"t": "B"}), recipe(text={"t": "A", "u": "B"}), recipe(identifiers=["t"]),
        recipe(identifiers=["codes"]), recipe(config="simple"), recipe(context=str),
    ]  # fmt: skip
    assert len({plain, *changed}) == 7


@pytest.mark.parametrize(
    ("one", "other"),
    [(["a", "b"], ["ab", ""]), (["1:a"], ["a"]), (["a|1:b"], ["a", "b"]), (["a"], ["a", None])],
)
def test_digests_of_different_texts_differ(one: list[str], other: list[str]) -> None:
    assert text_digest(one) != text_digest(other)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        ["", "a"],
        ["naïve 🎈 e\u0301"],
        ["x" * 100_000, None, "'; DROP TABLE --", "%s"],
        ["\r\n\t"],
    ],
)
def test_python_and_the_database_compute_the_same_digest(values: list[str | None]) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_digest_v1(%s::text[])", [values])
        (found,) = cursor.fetchone()
    if values:
        assert found == text_digest(values)
    else:
        assert found is None


def test_a_document_is_what_stands_in_the_fields_joined_by_blank_lines() -> None:
    document = Declaration.render(["Title", None, "", "  ", "Body\n"])
    assert document.text == "Title\n\nBody\n"
    assert Declaration.render(["x"], digest=UUID(int=1)).digest == UUID(int=1)


def test_only_the_database_knows_the_text_of_an_expression() -> None:
    assert Article.search.document(Article(title=models.F("body"))) is None
    found = Article.search.document(Article(title="a", body="b"))
    assert found is not None
    assert found.text == "a\n\nb"


def test_an_error_in_context_says_whose_it_is() -> None:
    index = SearchIndex(text=["title"], context=lambda a: a.nothing.name)
    index.model, index.attname = Article, "search"
    with pytest.raises(AttributeError) as caught:
        index.context_of(Article())
    assert "In context= of testapp.Article.search" in caught.value.__notes__[0]


def test_context_may_be_text_lines_or_nothing() -> None:
    index = SearchIndex(text=["title"], context=lambda lines: lines)
    index.model, index.attname = Article, "search"
    assert [index.context_of(value) for value in ("a", ["a", "", "b"], [], None)] == ["a", "a\nb", "", ""]  # type: ignore[arg-type]
