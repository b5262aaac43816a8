"""A table that has rows gets an index: nothing is rewritten, nothing is held up, and in the end Postgres vouches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.migrations.project import NOTHING_LEFT, Project, manage
from tests.migrations.test_index_migrations import BACK, CHECK, MAKE, MIGRATE, REEMBED, WRITE, ZERO
from tests.migrations.texts import INDEXED, PLAIN
from tests.processes import start
from tests.search.workers import until
from tests.testapp.embedders import calls_in

pytestmark = pytest.mark.slow
Make = Callable[..., Project]

ROWS = "INSERT INTO shop_article (title, body, lang) SELECT 'title ' || i, 'body ' || i, 'en' FROM generate_series(1, {}) i"


def counting(project: Project, log: Path, **options: object) -> None:
    backend = {
        "BACKEND": "tests.testapp.embedders.Counting",
        "OPTIONS": {"dimensions": 64, "log": str(log), **options},
    }
    project.add_settings(f'LOCKSTEP["search"]["embedders"]["default"] = {backend!r}')


@pytest.fixture
def legacy(project: Make) -> Project:
    """Three hundred rows from before the index, and the index."""
    made = project()
    made.models(PLAIN)
    made.commands(MAKE, MIGRATE)
    made.sql(ROWS.format(300))
    before = made.sql("SELECT pg_relation_filenode('shop_article')")
    made.migrate_to(INDEXED)
    assert made.sql("SELECT pg_relation_filenode('shop_article')") == before
    return made


def test_old_rows_live_on_until_they_are_enrolled(legacy: Project, tmp_path: Path) -> None:
    assert legacy.sql("SELECT count(*) FROM shop_article WHERE search_digest IS NULL") == [(300,)]
    assert "lockstep_search.W014" in legacy.manage(*CHECK)
    legacy.sql("UPDATE shop_article SET lang = 'fr', body = 'not indexed' WHERE id = 1")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="without a new embedding"):
        legacy.sql("UPDATE shop_article SET title = 'raw' WHERE id = 2")
    legacy.python(
        """
        from shop.models import *
        article = Article.objects.get(pk=3)
        article.lang = "de"
        article.save(update_fields=["lang"])
        article = Article.objects.get(pk=4)
        article.title = "changed"
        article.save()
        Article.objects.filter(pk__in=[5, 6]).update(title="updated")
        Article.objects.filter(pk=7).update(lang="it")
        Article.objects.filter(pk=8).delete()
        Article.objects.get(pk=9).save()
        """
    )
    enrolled = legacy.sql("SELECT id FROM shop_article WHERE search_digest IS NOT NULL ORDER BY 1")
    assert enrolled == [(4,), (5,), (6,), (9,)]

    log = tmp_path / "calls.jsonl"
    counting(legacy, log, delay_s=0.3)
    doomed = start(
        manage, ("lockstep_reembed", "--batch-size", "50"), folder=legacy.folder,
        environment=legacy.environment(), output=tmp_path / "output.txt",
    )  # fmt: skip
    until(lambda: len(calls_in(log)) == 3)
    doomed.kill()
    doomed.join()
    done = legacy.sql("SELECT count(*) FROM shop_article WHERE search_digest IS NOT NULL")[0][0]
    assert 4 < done < 299
    assert "lockstep_search.W014" in legacy.manage(*CHECK)
    counting(legacy, log)
    assert legacy.stale(REEMBED) == []
    paid_again = len([text for call in calls_in(log) for text in call["texts"]]) - 295
    assert 0 <= paid_again <= 50  # what the killed process had in hand
    assert "no issues" in legacy.manage(*CHECK)
    assert legacy.sql("SELECT convalidated FROM pg_constraint WHERE conname LIKE 'ls_%_embedded'") == [
        (True,)
    ]


def test_the_unique_index_may_be_built_without_a_lock(project: Make) -> None:
    made = project()
    made.models(PLAIN)
    made.commands(MAKE, MIGRATE)
    made.sql(ROWS.format(300))
    made.models(INDEXED)
    made.manage(*MAKE)
    (name,) = made.migrations()[1:]
    file = made.folder / "shop" / "migrations" / f"{name}.py"
    whole = file.read_text()
    file.unlink()
    begin = whole.index("        migrations.AddField(\n            model_name='article'")
    end = whole.index("        ),\n", begin) + len("        ),\n")
    cut = (
        "from django.db import migrations\nimport lockstep.search.fields\n"
        "from lockstep.search.operations import UniqueDigest\n\n"
        "class Migration(migrations.Migration):\n    atomic = {}\n"
        "    dependencies = [('shop', '{}')]\n    operations = [{}]\n"
    )
    made.migration("0002_digest", cut.format(True, "0001_initial", whole[begin:end]))
    made.migration("0003_unique", cut.format(False, "0002_digest", 'UniqueDigest("shop.Article")'))
    rest = (whole[:begin] + whole[end:]).replace("('shop', '0001_initial')", "('shop', '0003_unique')")
    made.migration("0004_rest", rest)
    assert made.stale(MIGRATE, NOTHING_LEFT, REEMBED, CHECK, before=WRITE) == []
    uniques = "SELECT indexname FROM pg_indexes WHERE tablename = 'shop_article' AND indexdef LIKE '%search_digest%'"
    assert made.sql(uniques) == [("shop_article_search_digest",)]
    assert made.stale(BACK[:-1], MIGRATE, REEMBED, before=WRITE) == []
    made.manage(*ZERO)


def test_enrolment_under_load_holds_no_writer_up(project: Make) -> None:
    """The short form of ``python -m tests.migrations.enrolment``, which says how long writers wait."""
    made = project()
    made.models(PLAIN)
    made.commands(MAKE, MIGRATE)
    made.sql(ROWS.format(2000))
    made.models(INDEXED)
    made.manage(*MAKE)
    errors: list[Exception] = []
    stop = threading.Event()

    def write() -> None:
        turn = 0
        with psycopg.connect(made.database, autocommit=True) as link:
            link.execute("SET lock_timeout = '10s'")
            while not stop.is_set():
                turn += 1
                try:
                    link.execute(
                        "UPDATE shop_article SET lang = %s WHERE id = %s",
                        (str(turn % 99), turn * 37 % 2000 + 1),
                    )
                except Exception as error:
                    errors.append(error)
                time.sleep(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert made.stale(MIGRATE, REEMBED, CHECK) == []
    finally:
        stop.set()
        thread.join()
    assert errors == []
