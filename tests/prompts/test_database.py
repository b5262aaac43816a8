"""What the database keeps through migrations, restores and the door's own statement."""

from __future__ import annotations

import json
import uuid
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import override_settings

from lockstep.llm.models import Call
from lockstep.prompts.apps import guard_truncate
from lockstep.prompts.models import PromptVersion
from lockstep.prompts.releases import release
from tests.prompts.conftest import body, version

pytestmark = pytest.mark.django_db


def ask(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments, verbosity=0, stdout=StringIO())


def test_migrations_go_back_to_the_null_body_and_forth_again() -> None:
    before = ask("SELECT proname FROM pg_proc WHERE proname LIKE 'lockstep_prompts%' ORDER BY 1")
    assert before
    ask("SET CONSTRAINTS ALL IMMEDIATE")
    migrate("lockstep_prompts", "zero")
    assert ask("SELECT proname FROM pg_proc WHERE proname LIKE 'lockstep_prompts%'") == []
    assert ask("SELECT * FROM lockstep_llm_resolve_v1('f', 'support-answer', 'u')") == []
    migrate("lockstep_prompts")
    assert ask("SELECT proname FROM pg_proc WHERE proname LIKE 'lockstep_prompts%' ORDER BY 1") == before
    row = version()
    release("support-answer", row.key, actor="ann", reason="r")
    assert ask("SELECT prompt_version FROM lockstep_llm_resolve_v1('f', 'support-answer', 'u')") == [
        (row.key,)
    ]


def test_the_models_and_the_migrations_agree() -> None:
    call_command("makemigrations", "lockstep_prompts", check=True, dry_run=True, verbosity=0)


def test_addresses_are_recomputed_during_a_restore_too() -> None:
    """pg_dump restores with an empty search_path."""
    row = version()
    text = body("Another {question}")
    insert = (
        "INSERT INTO public.lockstep_prompts_promptversion (prompt_id, key, canonical, source, author, note)"
        " VALUES (%s, %s, %s, 'code', '', '')"
    )
    ask("SET LOCAL search_path = ''")
    with pytest.raises(IntegrityError), transaction.atomic():
        ask(insert, row.prompt_id, "0" * 64, text.canonical)
    ask(insert, row.prompt_id, text.key, text.canonical)
    ask("SET LOCAL search_path TO DEFAULT")
    assert PromptVersion.objects.get(key=text.key).content == text


def test_migrate_guards_truncate_in_a_database_that_no_test_runner_made(monkeypatch: Any) -> None:
    guards = "SELECT count(*) FROM pg_trigger WHERE tgname = 'lockstep_no_truncate'"
    guard_truncate(using="default")
    assert ask(guards) == [(0,)]
    monkeypatch.setattr("lockstep.core.testruns.made_by_test_runner", lambda connection: False)
    guard_truncate(using="default")
    guard_truncate(using="default")
    assert ask(guards) == [(3,)]


# --- the door's first statement -------------------------------------------------------------------


def begin(**asked: Any) -> dict[str, Any]:
    values = {
        "id": str(uuid.uuid4()),
        "invocation": str(uuid.uuid4()),
        "attempt": 1,
        "operation": "chat",
        "feature": "support.answer",
        "unit": "user-1",
        "prompt": "support-answer",
        "provider": "openai",
        "model": "default-model",
        "priced_as": "default-model",
        "bound_input": 100,
        "bound_output": 10,
        "currency": "GBP",
        "lapse_after_s": 900,
        **asked,
    }
    ((answer,),) = ask("SELECT lockstep_llm_begin_v1(%s::jsonb)", json.dumps(values))
    return {**(json.loads(answer) if isinstance(answer, str) else answer), "id": values["id"]}


def test_the_ledger_row_of_a_call_names_the_version_arm_and_release_that_it_used() -> None:
    row = version()
    row.refresh_from_db()
    made = release(
        "support-answer",
        [{"name": "a", "version": row.key, "weight": 1, "model": "anthropic:small"}],
        actor="ann",
        reason="r",
    )
    answer = begin()
    call = Call.objects.get(id=answer["id"])
    assert (answer["refused"], answer["prompt_version"], answer["model"]) == (
        None,
        row.key,
        "anthropic:small",
    )
    assert (call.prompt_version, call.arm, call.release_id) == (row.key, "a", made.pk)
    assert (call.provider, call.request_model) == ("anthropic", "small")
    assert call.bound_input == 100 + row.nbytes


def test_a_call_for_a_prompt_without_a_release_is_refused() -> None:
    version()
    assert begin()["refused"] == "no_release"


@override_settings(LOCKSTEP={"prompts": {"environment": "staging"}})
def test_the_environment_of_the_settings_is_where_releases_go() -> None:
    assert release("support-answer", version().key, actor="ann", reason="r").environment == "staging"
