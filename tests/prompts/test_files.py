"""Prompt files: read strictly, made into versions, and held against the database."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.management import CommandError, call_command
from django.db import connection

from lockstep.prompts.body import Body, Message
from lockstep.prompts.checks import check_drift, check_files
from lockstep.prompts.exceptions import FileError, NoVersion, TemplateError
from lockstep.prompts.files import find_all, parse, write
from lockstep.prompts.models import PromptVersion
from lockstep.prompts.port import versions as port
from lockstep.prompts.releases import live, release
from tests.prompts.conftest import body, version

FILE = """\
+++
model = "openai:gpt-5-mini"
variables = ["question", "passages"]

[parameters]
temperature = 0.2

[[tools]]
name = "look_up"
+++
# system
Answer from the passages.
# Rules
\\# user
\\\\# user

# user

{passages}

{question}
"""


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.LOCKSTEP = {**settings.LOCKSTEP, "prompts": {"folders": [str(tmp_path)]}}
    (tmp_path / "README.md").write_text("These are prompts.")
    return tmp_path


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("lockstep_prompts", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_a_file_is_front_matter_and_messages() -> None:
    assert parse(FILE) == Body(
        messages=(
            Message("system", "Answer from the passages.\n# Rules\n# user\n\\# user"),
            Message("user", "{passages}\n\n{question}"),
        ),
        variables=("passages", "question"),
        parameters={"temperature": 0.2, "model": "openai:gpt-5-mini"},
        tools=[{"name": "look_up"}],
    )


@pytest.mark.parametrize("text", [FILE, FILE.replace("\n", "\r\n"), "# user\nhi", "+++\n+++\n# user\nhi\n\n"])
def test_what_is_written_as_a_file_reads_back_to_the_same_address(text: str) -> None:
    assert parse(write(parse(text))).key == parse(text).key
    assert parse(text.replace("\r\n", "\n")).key == parse(text).key


def test_odd_names_and_values_survive_the_file() -> None:
    odd = body(
        parameters={"a b": 'quo"te\n\u007f', "n": [1, {"x": True, "ü": 1e-7}]},
        output_schema={"type": "object", "properties": {"a.b": {"enum": ["x", "ü"]}}},
    )
    assert parse(write(odd)).key == odd.key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one message"),
        ("hello", "Text before the first message"),
        ("+++\nvariables = []\n", "has no end"),
        ("+++\nvariables = [\n+++\n# user\nhi", "no TOML"),
        ("+++\nvariable = []\n+++\n# user\nhi", "Unknown key 'variable'"),
        ('+++\nvariables = "a"\n+++\n# user\nhi', "list of names"),
        ("+++\n[parameters]\nmodel = 'x'\n+++\n# user\nhi", "stands above"),
        ("+++\nparameters = 5\n+++\n# user\nhi", "must be a table"),
        ("+++\n[parameters]\nday = 2026-01-01\n+++\n# user\nhi", "date is no JSON value"),
        ("+++\nvariables = [1]\n+++\n# user\nhi", "no name of a variable"),
        ("# user\n{x.__class__}", "is no variable"),
        ("# user\n{x}", "not declared: x"),
        ("# user\n\n# system\nx", "user message is empty"),
    ],
)
def test_a_file_that_means_nothing_is_refused_with_its_place(text: str, said: str, folder: Path) -> None:
    (folder / "support-answer.md").write_text(text)
    with pytest.raises(TemplateError, match=said) as caught:
        _ = [file.body.key for file in find_all()]
    (problem,) = check_files()
    assert problem.id == "lockstep_prompts.E001"
    assert "support-answer.md" in problem.msg
    assert said in problem.msg or isinstance(caught.value, FileError)


def test_bytes_that_are_no_text_and_names_that_are_no_names_are_refused(folder: Path) -> None:
    (folder / "support.md").write_bytes(b"# user\n\xff")
    with pytest.raises(FileError, match="not UTF-8"):
        find_all()
    (folder / "support.md").rename(folder / "Support Answer.md")
    with pytest.raises(FileError, match="no name of a prompt"):
        find_all()


def test_one_name_in_two_folders_and_a_folder_that_is_missing_are_refused(
    folder: Path, settings: Any
) -> None:
    for place in ("one", "two"):
        (folder / place).mkdir()
        (folder / place / "support.md").write_text("# user\nhi")
    settings.LOCKSTEP = {"prompts": {"folders": [str(folder / "one"), str(folder / "two")]}}
    with pytest.raises(FileError, match="Two files hold 'support'"):
        find_all()
    settings.LOCKSTEP = {"prompts": {"folders": [str(folder / "three")]}}
    with pytest.raises(FileError, match="no folder"):
        find_all()


# --- sync and drift -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_sync_makes_a_version_once_and_remembers_its_parent(folder: Path) -> None:
    file = folder / "support-answer.md"
    file.write_text("# user\nfirst")
    assert "new" in run("sync", "--author", "ann")
    assert "known" in run("sync")
    file.write_text("# user\nsecond")
    assert "new" in run("sync")
    second, first = PromptVersion.objects.all()
    assert (first.author, first.source, first.parent) == ("ann", "file", None)
    assert (second.parent, second.content.messages[0].text) == (first, "second")


def drifts() -> list[CheckMessage]:
    return [
        message for message in check_drift(databases=["default"]) if message.id == "lockstep_prompts.W001"
    ]


@pytest.mark.django_db
def test_check_ends_with_1_while_files_and_database_differ(folder: Path) -> None:
    file = folder / "support-answer.md"
    file.write_text("# user\nfirst")
    with pytest.raises(CommandError, match="1 difference"):
        run("check")
    run("sync")
    assert "agree" in run("check")
    assert drifts() == []
    run("release", "support-answer", "--arm", "file", "--reason", "first", "--actor", "ann")
    assert drifts() == []
    file.write_text("# user\nsecond")
    run("sync")
    (message,) = drifts()
    assert "which no file has" in message.msg
    assert message.hint
    (folder / "support-answer~old.md").write_text("# user\nfirst")
    assert drifts() == []
    file.unlink()
    (folder / "support-answer~old.md").unlink()
    (message,) = drifts()
    assert "which no file has" in message.msg


@pytest.mark.django_db
def test_a_prompt_that_lives_in_the_admin_alone_is_no_drift(folder: Path) -> None:
    release("support-answer", version().key, actor="ann", reason="r")
    assert drifts() == []


@pytest.mark.django_db
def test_a_disabled_guard_is_reported() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE lockstep_prompts_release DISABLE TRIGGER lockstep_append_only")
    (message,) = check_drift(databases=["default"])
    assert message.id == "lockstep_prompts.W002"
    assert "lockstep_prompts_release" in message.msg


@pytest.mark.django_db
def test_an_environment_that_the_database_does_not_know_is_reported(settings: Any) -> None:
    settings.LOCKSTEP = {"prompts": {"environment": "staging"}}
    (message,) = check_drift(databases=["default"])
    assert message.id == "lockstep_prompts.W003"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lockstep.environment = 'staging'")
    assert check_drift(databases=["default"]) == []


@pytest.mark.django_db
def test_the_checks_need_neither_another_database_nor_sound_settings(settings: Any) -> None:
    assert check_drift(databases=["another"]) == []
    settings.LOCKSTEP = {"prompts": {"unreleased": "perhaps"}}
    assert check_drift(databases=["default"]) == check_files() == []


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_release_and_roll_back_from_the_command_line(folder: Path) -> None:
    one, other = version(text="One {question}"), version(text="Two {question}")
    why = ["--reason", "r", "--actor", "ann", "--ticket", "T-1"]
    run("release", "support-answer", "--arm", one.short, *why)
    said = run(
        "release", "support-answer", "--arm", f"{one.short}:9", "--arm", f"new={other.short}:1@openai:x", *why
    )
    assert "release 2 in production" in said
    assert "10 %  openai:x" in said
    row = live("support-answer")
    assert row is not None
    assert [(arm.name, arm.weight, arm.model) for arm in row.split] == [("a", 9, ""), ("new", 1, "openai:x")]
    assert "copied from release 1" in run("roll-back", "support-answer", *why)
    assert parse(run("show", "support-answer")).key == one.key
    assert parse(run("show", "support-answer", other.short)).key == other.key
    for wrong in ("file", f"{one.short}:many", f"{one.short}:0", "ffff"):
        with pytest.raises(CommandError):
            run("release", "support-answer", "--arm", wrong, *why)
    with pytest.raises(CommandError):
        run("show", "other")


# --- what the door asks ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_door_gets_a_version_rendered_and_reads_each_once(django_assert_num_queries: Any) -> None:
    row = version()
    with django_assert_num_queries(1):
        for question in ("why?", "how?"):
            answer = port.rendered("support-answer", row.key, {"question": question})
            assert answer.messages == [("user", f"Answer: {question}")]
    with pytest.raises(NoVersion):
        port.rendered("support-answer", "0" * 64, {})


@pytest.mark.django_db
def test_without_a_release_the_file_speaks_only_where_the_settings_allow_it(
    folder: Path, settings: Any
) -> None:
    (folder / "support-answer.md").write_text("# user\nhi")
    run("sync")
    assert port.fallback("support-answer") is None
    settings.LOCKSTEP = {"prompts": {"folders": [str(folder)], "unreleased": "file"}}
    assert port.fallback("support-answer") == PromptVersion.objects.get().key
    assert port.fallback("other") is None
    (folder / "support-answer.md").write_text("# user\nnot synced")
    assert port.fallback("support-answer") is None
