"""Templates read nothing but what they are given, and what they are given stays text."""

from __future__ import annotations

import datetime
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from lockstep.llm.hooks import PromptError
from lockstep.prompts.body import Body, Message
from lockstep.prompts.canonical import canonical
from lockstep.prompts.exceptions import TemplateError, VariableError
from lockstep.prompts.values import text_of
from tests.prompts.conftest import body


def rendered(text: str, **variables: Any) -> str:
    return body(text, variables=tuple(variables)).render(variables).messages[0][1]


@pytest.mark.parametrize(
    "hole",
    [
        "{x.__class__}", "{x[0]}", "{x!r}", "{x:>10}", "{x!s:>{width}}", "{}", "{0}", "{ x }", "{x\n}", "{X}", "{é}",
        "{{{x.__class__}}}", "{x", "x}", "{", "}", "{{x}", "{x}}", "{x{x}}", "{%x%}", "{__class__}",
    ],
)  # fmt: skip
def test_anything_but_a_plain_name_is_refused_when_the_version_is_made(hole: str) -> None:
    with pytest.raises(TemplateError, match=r"Line 2: "):
        body(f"first line\n{hole}", variables=("x", "width"))


def test_doubled_braces_are_literal() -> None:
    assert rendered('{{"a": {x}}} {{{x}}} {{{{}}}}', x="1") == '{"a": 1} {1} {{}}'


def test_text_of_users_with_placeholders_stays_text() -> None:
    hostile = "{y} {x.__class__} {{ {0} {% raw %} $y %(y)s {{y}}"
    assert rendered("a {x} b {y} c {x}", x=hostile, y="{x}") == f"a {hostile} b {{x}} c {hostile}"


def test_missing_and_extra_variables_are_named() -> None:
    with pytest.raises(VariableError, match=r"missing: b, c; not declared: d") as caught:
        body("{a} {b} {c}", variables=("a", "b", "c")).render({"a": "1", "d": "2"})
    assert (caught.value.missing, caught.value.extra) == (("b", "c"), ("d",))
    assert isinstance(caught.value, PromptError)
    assert isinstance(caught.value, ValueError)


def test_a_name_used_but_not_declared_is_refused_and_the_reverse_is_allowed() -> None:
    with pytest.raises(TemplateError, match="not declared: b, c"):
        body("{c} {a} {b}", variables=("a",))
    assert body("nothing", variables=("a",)).render({"a": "1"}).messages == [("user", "nothing")]


class Hit:
    prompt_text = "a passage"


class Record:
    def prompt_text(self) -> str:
        return "a record"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ü", "ü"),
        ("", ""),
        (gettext_lazy("Hello"), "Hello"),
        (True, "true"),
        (7, "7"),
        (0.1, "0.1"),
        (Decimal("1.50"), "1.50"),
        (datetime.date(2026, 3, 1), "2026-03-01"),
        (datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.UTC), "2026-03-01T09:30:00+00:00"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (["one", 2, Hit(), Record()], "[1] one\n\n[2] 2\n\n[3] a passage\n\n[4] a record"),
        ((word for word in ("a", "b")), "[1] a\n\n[2] b"),
        ([], ""),
        ({"b": "ü", "a": [1, None]}, '{\n  "b": "ü",\n  "a": [\n    1,\n    null\n  ]\n}'),
        ({"when": datetime.date(2026, 3, 1)}, '{\n  "when": "2026-03-01"\n}'),
        ("a\0b\ud800c", "a�b�c"),
        (["a\0"], "[1] a�"),
    ],
)
def test_each_kind_of_value_has_one_stated_text(value: Any, text: str) -> None:
    assert text_of(value, "x") == text


@pytest.mark.parametrize("value", [None, b"bytes", object(), [None], {"a": object()}, Body])
def test_what_has_no_stated_text_is_refused_with_the_name_of_the_variable(value: Any) -> None:
    with pytest.raises(VariableError, match="'x'"):
        text_of(value, "x")


def test_a_value_without_end_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(VariableError):
        text_of(loop, "x")


def test_a_megabyte_of_text_is_rendered_at_once() -> None:
    text = "{x} ü " * 180_000
    began = time.perf_counter()
    assert rendered("<{x}>", x=text) == f"<{text}>"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_template_with_what_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        _ = body(text, variables=()).key


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), datetime.date.today(), b"", {1: 2}, {"a": {1, 2}}]
)
def test_what_json_does_not_have_is_refused_in_parameters(value: Any) -> None:
    with pytest.raises(TemplateError):
        canonical({"a": value})


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"messages": ()}, "at least one"),
        ({"messages": (Message("robot", "hi"),)}, "'robot' is no role"),
        ({"messages": (Message("user", " \n"),)}, "is empty"),
        ({"variables": ("a", "a")}, "twice"),
        ({"variables": ("a-b",)}, "no name of a variable"),
        ({"parameters": {"model": 5}}, "model must be a string"),
        ({"parameters": []}, "parameters"),
        ({"tools": "search"}, "tools"),
        ({"output_schema": "{}"}, "output_schema"),
    ],
)
def test_a_body_that_means_nothing_is_refused(facts: dict[str, Any], said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        Body(**{"messages": (Message("user", "hi"),), **facts})


def test_parameters_tools_and_schema_go_to_the_door_and_the_model_does_not() -> None:
    made = Body(
        messages=(Message("system", "s"), Message("user", "u")),
        parameters={"model": "openai:x", "temperature": 0},
        tools=[{"name": "look_up"}],
        output_schema={"type": "object"},
    )
    assert Body.read(made.canonical) == made
    answer = made.render({})
    assert answer.messages == [("system", "s"), ("user", "u")]
    assert (answer.parameters, answer.tools) == ({"temperature": 0}, [{"name": "look_up"}])
    assert (answer.output_schema, made.model) == ({"type": "object"}, "openai:x")
