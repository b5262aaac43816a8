"""One ``pg_dump``, one restore, same answers; and what was guaranteed still is."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg.errors import ForeignKeyViolation

from lockstep.search import queue, stats
from tests.committed import transactional_db
from tests.integration.elsewhere import answer, go_on
from tests.migrations.project import fresh_database, server_url
from tests.processes import run
from tests.search.oracle import attached, in_step
from tests.testapp.models import Article, Brand, Note
from tools.services.binaries import installed_server
from tools.services.exceptions import ServiceMissing

__all__ = ["transactional_db"]

pytestmark = pytest.mark.usefixtures("transactional_db")

ARTICLES, NOTES, WAITING, QUERIES = 300, 150, 10, 200
WORDS = [
    f"{head}{tail}"
    for head in ("kel", "mor", "tan", "ves", "dru", "lio")
    for tail in ("ta", "nik", "sor", "um")
]


def programs() -> Path:
    """The folder of pg_dump and pg_restore; the test is skipped where they cannot read this server."""
    try:
        folder = installed_server() / "bin"
    except ServiceMissing:
        found = shutil.which("pg_dump")
        if not found:
            pytest.skip("no pg_dump on this machine")
        folder = Path(found).parent
    said = subprocess.run(
        [folder / "pg_dump", "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = re.search(r"(\d+)[.\d]*\s*(\(|$)", said)
    assert version, said
    server = connection.cursor().connection.info.server_version // 10_000
    if int(version[1]) < server:
        pytest.skip(f"pg_dump {version[1]} cannot read a server of version {server}")
    return folder


@pytest.fixture
def restored(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Dumps the test database to a file and restores that into a new one. Returns its name."""
    name, file = f"lockstep_restored_{os.getpid()}", tmp_path / "dump"
    with fresh_database(name):

        def dump_and_restore() -> str:
            folder = programs()
            here = server_url(connection.settings_dict["NAME"])
            # a role that may not own the extension may not comment on it either
            restore = [
                "pg_restore",
                "--exit-on-error",
                "--single-transaction",
                "--no-comments",
                "-d",
                server_url(name),
            ]
            # the payloads of calls are guarded by row security; see docs/howto/retention.md
            dump = ["pg_dump", "--enable-row-security", "-Fc", "-f", str(file), "-d", here]
            for command in (dump, [*restore, str(file)]):
                done = subprocess.run(
                    [folder / command[0], *command[1:]], capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
            return name

        yield dump_and_restore


def text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, range(len(WORDS), 0, -1), k=words))


def fill(chance: random.Random) -> None:
    brands = Brand.objects.bulk_create(Brand(name=name) for name in ("Kestrel", "Kestra"))
    Article.objects.bulk_create(
        Article(title=text(chance, 3), body=text(chance, 20), sku=f"XR-{i:04}", brand=chance.choice(brands))
        for i in range(ARTICLES)
    )
    Note.objects.bulk_create(Note(text=text(chance, 15), codes=[f"N-{i:03}"]) for i in range(NOTES))
    for _ in queue.work_off(Note.search, "default", 100):
        pass
    for index in (Article.search, Note.search):
        stats.refresh(index, "default")
    Note.objects.bulk_create(Note(text=text(chance, 15)) for _ in range(WAITING))


def questions(chance: random.Random) -> list[str]:
    forms: list[Callable[[], str]] = [
        lambda: text(chance, 4),
        lambda: f"{text(chance, 2)} kestrel",
        lambda: f"xr{chance.randrange(ARTICLES):04}",
        lambda: f'"{text(chance, 2)}" -{chance.choice(WORDS)}',
    ]
    return [forms[i % len(forms)]() for i in range(QUERIES)]


def answers(asked: list[str], database: str, folder: Path) -> list[list[Any]]:
    """The same in a process of its own, from any database of this server."""
    file, output = folder / f"{database}.json", folder / f"{database}.txt"
    environment = {"DATABASE_URL": server_url(database), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    assert run(answer, asked, file, environment=environment, output=output) == 0, output.read_text()
    found: list[list[Any]] = json.loads(file.read_text())
    return found


def test_a_restored_dump_gives_the_same_answers_and_the_same_refusals(
    embedder: Any, restored: Callable[[], str], tmp_path: Path
) -> None:
    chance = random.Random(11)
    fill(chance)
    assert in_step(Article)
    asked = questions(chance)
    before = answers(asked, connection.settings_dict["NAME"], tmp_path)
    assert sum(map(len, before)) > 10 * QUERIES
    database = restored()
    assert answers(asked, database, tmp_path) == before

    with psycopg.connect(server_url(database)) as link:
        link.execute("UPDATE testapp_article SET body = 'raw' WHERE sku = 'XR-0007'")
        with pytest.raises(ForeignKeyViolation, match="its text changed without a new embedding"):
            link.commit()
    with psycopg.connect(server_url(database)) as link:
        for trigger in ("insert", "update"):  # the words in front of the key; the key itself guarantees
            link.execute(f'ALTER TABLE testapp_article DISABLE TRIGGER "A_{Article.search.slug}_{trigger}"')
        link.execute("UPDATE testapp_article SET body = 'raw' WHERE sku = 'XR-0007'")
        with pytest.raises(ForeignKeyViolation, match="is not present in table"):
            link.commit()
    with psycopg.connect(server_url(database)) as link:
        link.execute("UPDATE testapp_article SET views = 5")
        link.execute("UPDATE testapp_note SET text = 'raw' WHERE codes = '{N-007}'")
        waiting = link.execute("SELECT count(*) FROM testapp_note_search_pending").fetchone()
        stale = link.execute(
            "SELECT count(*) FROM testapp_note_search_chunk c JOIN testapp_note n ON n.id = c.record_id"
            " WHERE c.digest IS NOT NULL AND n.codes = '{N-007}'"
        ).fetchone()
    assert waiting == (WAITING + 1,)
    assert stale == (0,)
    assert attached(Note.search) == NOTES


def test_a_restored_database_goes_on_where_the_dump_was_made(
    embedder: Any, restored: Callable[[], str], tmp_path: Path
) -> None:
    fill(random.Random(12))
    environment = {"DATABASE_URL": server_url(restored()), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    output = tmp_path / "output.txt"
    assert run(go_on, ARTICLES, environment=environment, output=output) == 0, output.read_text()
