"""Whatever is typed or passed: a result, or an error that says what to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from lockstep.search.exceptions import QueryError
from lockstep.search.query.functional import hybrid_search
from lockstep.search.query.parsing import MAX_QUERY_CHARACTERS, parse
from tests.testapp.embedders import Counting
from tests.testapp.models import Article, Paper

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("query", ["", "   ", "\x00", "\ud800", "-refund", '""'])
def test_a_query_of_nothing_finds_nothing(library: dict[str, Article], query: str) -> None:
    assert list(Article.objects.hybrid_search(query)) == []


@pytest.mark.parametrize(
    "query",
    [
        "the of and",
        "limescale\x00kettle",
        "limescale \ud83d kettle",
        "👩‍🚀🔥 limescale",
        "גיר בקומקום limescale",
        "foo & | !( limescale <-> :*",
        "limescale' OR 1=1; --",
        'limescale "unclosed',
        "%s %(x)s limescale %",
        "\\ limescale \\'",
        "/*lockstep:1*/ limescale */",
        "limescale " + "word " * 20_000,
        "limescale" * 12_000,
        "x" * 100_000,
        "1" * 3_000,
        "a\u0301" * 500,
        "- -- --- limescale",
        "-limescale",
    ],
    ids=lambda query: repr(query[:24]),
)
@pytest.mark.parametrize("legs", [None, ["lexical"], ["identifier"]])
def test_no_query_breaks_the_search(library: dict[str, Article], query: str, legs: list[str] | None) -> None:
    for hit in Article.objects.filter(lang="en").hybrid_search(query, legs=legs):
        hit.explain()


@pytest.mark.parametrize(
    "query",
    [
        "limescale\x00kettle",
        "limescale \ud83d kettle",
        "👩‍🚀🔥 limescale",
        "גיר בקומקום limescale",
        "foo & | !( limescale <-> :*",
        "limescale' OR 'a'='a'; --",
        'limescale "unclosed',
        "%s %(x)s limescale %",
        "/*lockstep:x*/ limescale */",
    ],
)
def test_syntax_around_a_word_does_not_hide_it(library: dict[str, Article], query: str) -> None:
    assert Article.objects.hybrid_search(query, legs=["lexical"])[0] == library["kettle"]


def test_stop_words_alone_are_left_to_the_dense_leg(library: dict[str, Article]) -> None:
    assert Article.objects.hybrid_search("the of and", legs=["lexical"]).count() == 0
    assert Article.objects.hybrid_search("the of and").count() == 10


def test_a_long_query_is_read_to_its_limit() -> None:
    assert len(parse("word " * 50_000).text) <= MAX_QUERY_CHARACTERS


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"k": 0}, "k=0: it must be a whole number of at least 1"),
        ({"k": -5}, "k=-5"),
        ({"k": 1.5}, "k=1.5"),
        ({"k": True}, "k=True"),
        ({"top_n": 0}, "top_n=0"),
        ({"top_n": 10**9}, "from 1 to 1000"),
        ({"depth": 0}, "depth=0"),
        ({"fusion": "rff"}, "Did you mean 'rrf'"),
        ({"legs": []}, "at least one name"),
        ({"legs": "dense"}, "a list such as"),
        ({"legs": ["dens"]}, "Did you mean 'dense'"),
        ({"weights": {"lexicon": 1}}, "Did you mean 'lexical'"),
        ({"weights": {"dense": 0}}, "must be a positive number"),
        ({"weights": {"dense": math.nan}}, "must be a positive number"),
        ({"weights": {"dense": math.inf}}, "must be a positive number"),
        ({"weights": {"dense": "1"}}, "must be a positive number"),
        ({"index": "serach"}, "has no index"),
    ],
)
def test_an_argument_that_means_nothing_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        Article.objects.hybrid_search("x", **options)
    assert reason in str(caught.value)


def test_a_query_that_is_no_text_is_refused() -> None:
    with pytest.raises(QueryError, match="must be a str, not NoneType"):
        Article.objects.hybrid_search(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", ["EmbedderTimeout", "EmbedderUnavailable", "BadVector", "WrongDimensions"])
def test_the_other_legs_answer_when_the_embedder_does_not(
    library: dict[str, Article], error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lockstep.search import exceptions
    from lockstep.search.embedders.hashing import Hashing

    def fail(self: Any, texts: Any, deadline: Any) -> Any:
        raise getattr(exceptions, error)()

    monkeypatch.setattr(Hashing, "_embed", fail)
    hits = Article.objects.hybrid_search("limescale secret words")
    assert hits[0].title == "Descaling a kettle"
    assert hits[0].search_detail["degraded"] == ["dense"]
    assert hits[0].explain().degraded == ("dense",)
    assert "secret words" not in caplog.text
    assert error in caplog.text


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([], "BadAnswer"),
        ([[0.1] * 32], "WrongDimensions"),
        ([[math.nan] * 64], "BadVector"),
        ([[0.0] * 64], "BadVector"),
    ],
    ids=["no vector", "another dimension", "NaN", "zero"],
)
def test_the_other_legs_answer_when_the_vector_is_none(
    library: dict[str, Article], answer: Any, error: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from lockstep.search.embedders.hashing import Hashing

    monkeypatch.setattr(Hashing, "_embed", lambda self, texts, deadline: answer)
    hits = Article.objects.hybrid_search("limescale")
    assert hits[0] == library["kettle"]
    assert hits[0].search_detail["degraded"] == ["dense"]
    assert error in caplog.text


def test_a_slow_embedder_is_not_waited_for_longer_than_the_settings_say(
    library: dict[str, Article], embed_with: Callable[..., Counting]
) -> None:
    embed_with(delay_s=20, search={"query_timeout_s": 0.1})
    begun = time.monotonic()
    hits = Article.objects.hybrid_search("limescale")
    assert hits[0] == library["kettle"]
    assert hits[0].search_detail["degraded"] == ["dense"]
    assert time.monotonic() - begun < 10


@override_settings(
    LOCKSTEP={
        "search": {
            "embedders": {
                "default": {
                    "BACKEND": "lockstep.search.embedders.hashing.Hashing",
                    "OPTIONS": {"dimensions": 32},
                }
            }
        }
    }
)
def test_vectors_of_another_model_are_never_compared(library: dict[str, Article]) -> None:
    hits = Article.objects.hybrid_search("limescale")
    assert hits[0].title == "Descaling a kettle"
    assert hits[0].search_detail["degraded"] == ["dense"]


def test_the_function_form_names_what_is_wrong_with_a_column() -> None:
    papers = Paper.objects.all()
    with pytest.raises(QueryError, match="no field 'vektor'"):
        hybrid_search(papers, "x", vector="vektor")
    with pytest.raises(QueryError, match="is a CharField"):
        hybrid_search(papers, "x", vector="title")
    with pytest.raises(QueryError, match="is a TextField"):
        hybrid_search(papers, "x", lexical="body")
