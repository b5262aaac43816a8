"""Every prompt has an address: the database recomputes it and lets nobody change what it stands for."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from lockstep.prompts.canonical import canonical, digest
from lockstep.prompts.models import Prompt, PromptVersion
from lockstep.prompts.sql.versions import TRUNCATE_GUARDS
from tests.prompts.conftest import body, version

pytestmark = pytest.mark.django_db

COPY = "COPY lockstep_prompts_promptversion (prompt_id, key, canonical, source, author, note) FROM STDIN"


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def copy(*row: str) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY) as target:
        target.write_row(row)


def by_save(row: PromptVersion) -> None:
    row.note = "changed"
    row.save()


def by_bulk_update(row: PromptVersion) -> None:
    row.note = "changed"
    PromptVersion.objects.bulk_update([row], ["note"])


TAMPERING: dict[str, Callable[[PromptVersion], Any]] = {
    "save": by_save,
    "update": lambda row: PromptVersion.objects.update(note="changed"),
    "bulk_update": by_bulk_update,
    "raw update": lambda row: sql("UPDATE lockstep_prompts_promptversion SET canonical = '{}', key = 'x'"),
    "raw upsert": lambda row: sql(
        "INSERT INTO lockstep_prompts_promptversion (prompt_id, key, canonical, source, author, note)"
        " SELECT prompt_id, key, canonical, source, author, '' FROM lockstep_prompts_promptversion"
        " ON CONFLICT (prompt_id, key) DO UPDATE SET note = 'changed'"
    ),
    "delete": lambda row: row.delete(),
    "queryset delete": lambda row: PromptVersion.objects.all().delete(),
    "raw delete": lambda row: sql("DELETE FROM lockstep_prompts_promptversion"),
}


@pytest.mark.parametrize("way", TAMPERING)
def test_a_version_can_neither_be_changed_nor_deleted(way: str) -> None:
    row = version()
    before = PromptVersion.objects.values().get()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        TAMPERING[way](row)
    assert PromptVersion.objects.values().get() == before


def test_a_prompt_that_has_versions_cannot_be_deleted() -> None:
    version()
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError), transaction.atomic():
        sql("DELETE FROM lockstep_prompts_prompt")


def test_truncate_is_refused_once_its_guard_stands() -> None:
    version()
    for statement in TRUNCATE_GUARDS:
        sql(statement)
    with pytest.raises(IntegrityError, match="TRUNCATE refused"), transaction.atomic():
        sql("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE lockstep_prompts_promptversion CASCADE")
    assert PromptVersion.objects.count() == 1


def test_a_database_that_a_test_runner_made_can_be_flushed() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'lockstep_no_truncate'")
        assert cursor.fetchone() == (0,)


def insert(key: str, text: str) -> None:
    sql(
        "INSERT INTO lockstep_prompts_promptversion (prompt_id, key, canonical, source, author, note)"
        " VALUES ('p', %s, %s, 'code', '', '')",
        key,
        text,
    )


def by_copy(key: str, text: str) -> None:
    copy("p", key, text, "code", "", "")


def by_orm(key: str, text: str) -> None:
    PromptVersion.objects.create(prompt_id="p", key=key, canonical=text)


def by_bulk_create(key: str, text: str) -> None:
    PromptVersion.objects.bulk_create([PromptVersion(prompt_id="p", key=key, canonical=text)])


@pytest.mark.parametrize("write", [insert, by_copy, by_orm, by_bulk_create])
@pytest.mark.parametrize(
    "fault", ["wrong digest", "digest of another version", "other spelling", "other shape"]
)
def test_a_row_whose_address_is_not_its_content_is_refused(
    write: Callable[[str, str], None], fault: str
) -> None:
    Prompt.objects.create(name="p")
    good, other = body("Hello {question}"), body("Bye {question}")
    spaced = json.dumps(json.loads(good.canonical))
    shape = canonical({"messages": "none"})
    key, text = {
        "wrong digest": ("0" * 64, good.canonical),
        "digest of another version": (other.key, good.canonical),
        "other spelling": (digest(spaced), spaced),
        "other shape": (digest(shape), shape),
    }[fault]
    # Django does not translate what the COPY protocol raises
    with pytest.raises((IntegrityError, psycopg.errors.CheckViolation)), transaction.atomic():
        write(key, text)
    write(good.key, good.canonical)
    assert PromptVersion.objects.get().content == good


def test_the_address_is_the_digest_of_the_canonical_text() -> None:
    row = version(text="Grüße: {question}")
    text = (
        '{"messages":[{"role":"user","text":"Grüße: {question}"}],"output_schema":null,'
        '"parameters":{},"tools":[],"variables":["question"]}'
    )
    assert row.canonical == text
    assert row.key == hashlib.sha256(text.encode()).hexdigest()
    row.refresh_from_db()
    assert row.body == json.loads(text)
    assert row.nbytes == len(text.encode())


def test_the_order_of_keys_and_variables_does_not_matter_and_every_word_does() -> None:
    one = body(variables=("question", "other"), parameters={"temperature": 0.2, "top_p": 1})
    two = body(variables=("other", "question"), parameters={"top_p": 1.0, "temperature": 0.20})
    assert one.key == two.key
    assert len({one.key, body().key, body("Answer:  {question}").key, body(parameters={"seed": 1}).key}) == 4


def test_the_same_content_is_one_version_and_two_prompts_may_share_it() -> None:
    first = version()
    assert PromptVersion.objects.add("support-answer", body()) == (first, False)
    assert version("other-prompt").key == first.key
    assert PromptVersion.objects.count() == 2


def random_json(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 4 else 5)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randrange(-(10**25), 10**25) // 10 ** chance.randrange(25)
    if kind == 2:
        return chance.choice([1, -1]) * chance.random() * 10.0 ** chance.randrange(-300, 300)
    if kind in (3, 4):
        codes = [*range(1, 0x180), 0x2028, 0x2029, 0xFFFD, 0xFFFF, 0x1F600, 0x10FFFF, 0xE000, 0x200B]
        return "".join(chr(chance.choice(codes)) for _ in range(chance.randrange(12)))
    if kind == 5:
        return [random_json(chance, depth + 1) for _ in range(chance.randrange(5))]
    return {str(random_json(chance, 9)): random_json(chance, depth + 1) for _ in range(chance.randrange(6))}


def test_database_and_python_spell_random_json_alike() -> None:
    chance = random.Random(7)
    texts = [canonical(random_json(chance)) for _ in range(2000)]
    texts += [
        canonical(value)
        for value in (0.0, -0.0, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 100, '\x7f\x1f\\"/')
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t, lockstep_prompts_canonical_v1(t::jsonb), encode(sha256(convert_to(t, 'UTF8')), 'hex')"
            " FROM unnest(%s::text[]) AS t",
            [texts],
        )
        rows = cursor.fetchall()
    assert [(python, python, digest(python)) for python in texts] == rows


def test_a_megabyte_is_a_version_like_any_other() -> None:
    text = "ü{{" * 250_000 + "{question}"
    row = version(text=text)
    row.refresh_from_db()
    assert row.content.messages[0].text == text
    assert row.nbytes > 1_000_000
