"""What every embedder promises, whatever its backend answers."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from lockstep.search.embedders import BaseEmbedder, get_embedder
from lockstep.search.embedders.base import Deadline, encodable, unit
from lockstep.search.embedders.hashing import Hashing
from lockstep.search.embedders.process import PerProcess
from lockstep.search.exceptions import (
    BadAnswer,
    BadVector,
    EmbedderMisconfigured,
    EmbedderTimeout,
    WrongDimensions,
)

HASHING = "lockstep.search.embedders.hashing.Hashing"


class Answers(BaseEmbedder):
    """Answers with the rows it was given and remembers the texts."""

    model, dimensions, max_tokens = "answers", 2, 100

    def __init__(self, *rows: Sequence[Any], **prefixes: str) -> None:
        super().__init__(**prefixes)
        self.rows = rows
        self.texts: list[str] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return []

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> Sequence[Sequence[float]]:
        self.texts += texts
        return self.rows


def embedders(**entries: Any) -> Any:
    return override_settings(LOCKSTEP={"search": {"embedders": entries}})


# --- what a backend answers ------------------------------------------------------------------------


def test_vectors_come_back_as_float32_of_length_one() -> None:
    (vector,) = Answers([3.0, 4]).embed_documents(["text"])
    assert vector.typecode == "f"
    assert vector.tolist() == pytest.approx([0.6, 0.8])


def test_each_side_gets_its_own_prefix() -> None:
    embedder = Answers([1.0, 0.0], document_prefix="passage: ", query_prefix="query: ")
    embedder.embed_documents(["text"])
    embedder.embed_query("text")
    assert embedder.texts == ["passage: text", "query: text"]


def test_no_texts_ask_nobody() -> None:
    embedder = Answers([1.0, 0.0])
    assert embedder.embed_documents([]) == []
    assert embedder.texts == []


def test_one_text_instead_of_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="embed_query takes one text"):
        Answers([1.0, 0.0]).embed_documents("text")


def test_fewer_vectors_than_texts_are_refused() -> None:
    with pytest.raises(BadAnswer, match="1 vectors for 2 texts"):
        Answers([1.0, 0.0]).embed_documents(["one", "two"])


def test_a_vector_of_other_dimensions_is_refused_and_names_both() -> None:
    with pytest.raises(WrongDimensions, match="3 dimensions, 2 are configured") as caught:
        Answers([1.0, 0.0, 0.0]).embed_query("text")
    assert (caught.value.wanted, caught.value.got) == (2, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "row",
    [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [None, 1.0], ["1", 1.0], [1e-20, 0.0]],
    ids=["zero", "nan", "infinite", "none", "text", "nearly zero"],
)
def test_a_vector_without_a_direction_is_refused(row: list[Any]) -> None:
    with pytest.raises(BadVector):
        Answers(row).embed_query("text")


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=50))
def test_whatever_is_accepted_has_length_one(row: list[float]) -> None:
    try:
        vector = unit(row, len(row))
    except BadVector:
        assert math.hypot(*row) <= 1e-12
    else:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


def test_half_a_character_becomes_a_question_mark_in_its_place() -> None:
    assert encodable("a\ud83db") == "a?b"
    assert encodable("a😀b") == "a😀b"


def test_a_deadline_that_has_passed_says_so() -> None:
    Deadline.after(None).check()
    Deadline.after(60).check()
    with pytest.raises(EmbedderTimeout):
        Deadline.after(0).check()


# --- from settings ---------------------------------------------------------------------------------


def test_an_alias_is_built_once_with_its_options() -> None:
    with embedders(small={"BACKEND": HASHING, "OPTIONS": {"dimensions": 32}}):
        assert get_embedder("small").dimensions == 32
        assert get_embedder("small") is get_embedder("small")


def test_changed_settings_build_another() -> None:
    with embedders(default={"BACKEND": HASHING, "OPTIONS": {"dimensions": 32}}):
        before = get_embedder()
    with embedders(default={"BACKEND": HASHING, "OPTIONS": {"dimensions": 48}}):
        assert get_embedder().dimensions == 48
        assert get_embedder() is not before


def test_an_unknown_alias_names_the_nearest() -> None:
    with (
        embedders(multilingual={"BACKEND": HASHING}),
        pytest.raises(EmbedderMisconfigured, match=r"no 'multilingal'. Did you mean 'multilingual'\?"),
    ):
        get_embedder("multilingal")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"BACKEND": HASHING, "OPTION": {}}, "unknown key 'OPTION'. Did you mean 'OPTIONS'"),
        (
            {"BACKEND": HASHING, "OPTIONS": {"dimension": 8}},
            "unknown key 'dimension'. Did you mean 'dimensions'",
        ),
        ({"BACKEND": HASHING, "OPTIONS": {"dimensions": 2}}, "at least 8 dimensions"),
        ({"BACKEND": HASHING, "OPTIONS": {"dimensions": "many"}}, "embedders.*'broken'"),
        ({"BACKEND": "lockstep.search.embedders.nowhere.Nothing"}, "BACKEND is the dotted path of a class"),
    ],
)
def test_an_entry_that_cannot_be_used_says_which_key_is_wrong(entry: dict[str, Any], message: str) -> None:
    with embedders(broken=entry), pytest.raises(EmbedderMisconfigured, match=message):
        get_embedder("broken")


def test_a_missing_dependency_names_the_extra_to_install() -> None:
    program = """
import sys
sys.modules["onnxruntime"] = None
from django.conf import settings
settings.configure()
from lockstep.search.embedders import get_embedder
try:
    get_embedder()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "EmbedderMisconfigured" in done.stdout
    assert "pip install 'django-lockstep[onnx]'" in done.stdout


# --- threads and forks -----------------------------------------------------------------------------


def test_threads_that_race_for_a_value_get_the_same_one() -> None:
    barrier, made = threading.Barrier(8), []

    def make() -> object:
        time.sleep(0.01)
        made.append(object())
        return made[-1]

    value = PerProcess(make)

    def ask() -> object:
        barrier.wait()
        return value.get()

    with ThreadPoolExecutor(8) as pool:
        answers = {id(future.result()) for future in [pool.submit(ask) for _ in range(8)]}
    assert len(answers) == len(made) == 1


def test_a_dropped_value_is_closed_and_made_anew() -> None:
    closed: list[int] = []
    numbers = iter(range(9))
    value = PerProcess(lambda: next(numbers), closed.append)
    assert value.get() == value.get() == 0
    value.drop()
    assert value.get() == 1
    assert closed == [0]


def test_a_value_that_nobody_drops_is_closed_with_its_owner() -> None:
    closed: list[int] = []
    value = PerProcess(lambda: 7, closed.append)
    value.get()
    del value
    assert closed == [7]


def test_threads_get_the_same_embedder() -> None:
    with embedders(default={"BACKEND": HASHING}), ThreadPoolExecutor(8) as pool:
        assert len({id(embedder) for embedder in pool.map(lambda _: get_embedder(), range(64))}) == 1


def test_the_same_text_has_the_same_vector_in_another_process() -> None:
    program = (
        "from lockstep.search.embedders.hashing import Hashing; "
        "print(Hashing().embed_query('stable across processes').tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Hashing().embed_query("stable across processes").tobytes().hex()
