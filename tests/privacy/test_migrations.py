"""Tables that expire are made by migrations, in any schema, there and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.migrations.project import NOTHING_LEFT, Project, fresh_database

MODELS = """
import uuid
from django.db import models
from django.db.models.functions import Now

class Note(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    at = models.DateTimeField(db_default=Now())
    gone_at = models.DateTimeField(db_column="Gone At")
    order = models.IntegerField(default=0, db_index=True)
    words = models.IntegerField(default=0)

    class Meta:
        db_table = "Shop's notes"
        indexes = [models.Index(fields=["at"], name="shop_note_at")]
        constraints = [models.CheckConstraint(condition=models.Q(words__gte=0), name="shop_note_words")]
"""
EXPIRING = """        Expiring("Note", keep=timedelta(days=1), most=timedelta(days=2), expires="gone_at"),
"""


@pytest.fixture
def shop(db: None, tmp_path: Path) -> Iterator[Project]:
    with fresh_database(f"lockstep_expiring_{os.getpid()}") as url:
        project = Project(tmp_path / "project", url)
        settings = (project.folder / "settings.py").read_text().split("\nLOCKSTEP")[0]
        project.settings(settings.replace('"lockstep.search", *APPS', '"lockstep.privacy", *APPS') + "\n")
        (project.folder / "shop" / "models.py").write_text(MODELS)
        project.manage("makemigrations", "-v0")
        file = project.folder / "shop" / "migrations" / "0001_initial.py"
        text = file.read_text().replace(
            "dependencies = [", 'dependencies = [("lockstep_core", "0005_retention"),'
        )
        text = text.replace(
            "\nclass Migration",
            "\nfrom datetime import timedelta\n"
            "from lockstep.core.retention.operations import Expiring\n\nclass Migration",
        )
        end = text.rindex("    ]")
        file.write_text(text[:end] + EXPIRING + text[end:])
        yield project


WRITE = """
    from datetime import timedelta
    from django.db import connection
    from django.utils import timezone
    from shop.models import Note
    soon = timezone.now() + timedelta(seconds=1.5)
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_core_partition_v1(%s, %s)", [Note._meta.db_table, soon])
    Note.objects.create(gone_at=soon)
    print(Note.objects.count())
    import time; time.sleep(1.6)
    print(Note.objects.count())
"""


def test_a_project_makes_a_table_of_its_own_expire_and_back(shop: Project) -> None:
    shop.commands(("migrate", "-v0"), NOTHING_LEFT)
    assert shop.python(WRITE).split() == ["1", "0"]
    names = {
        name for (name,) in shop.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'Shop''s notes'")
    }
    assert "shop_note_at" in names
    assert len(names) == 3
    assert "not guarded          -" in shop.manage("lockstep_retention", "status")
    with pytest.raises(psycopg.errors.CheckViolation):
        shop.sql("INSERT INTO \"Shop's notes\" (id, \"Gone At\", \"order\", words)"
                 " VALUES (gen_random_uuid(), now() + interval '1 day', 0, -1)")  # fmt: skip
    shop.manage("migrate", "-v0", "shop", "zero")
    assert shop.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'Shop%'") == [(0,)]
    zero = [("migrate", "-v0", app, "zero") for app in ("lockstep_privacy", "shop", "lockstep_core")]
    shop.commands(("migrate", "-v0"), *zero)
    assert shop.sql("SELECT proname FROM pg_proc WHERE proname LIKE 'lockstep%'") == []
    assert shop.sql("SELECT relname FROM pg_class WHERE relname LIKE 'lockstep%'") == []
    shop.commands(("migrate", "-v0"), NOTHING_LEFT)
    assert shop.python(WRITE).split() == ["1", "0"]


def test_the_next_fields_and_indexes_of_a_table_reach_its_partitions(shop: Project) -> None:
    shop.manage("migrate", "-v0")
    shop.python(WRITE)
    models = MODELS.replace("words = ", "more = models.TextField(db_index=True, default='m')\n    words = ")
    (shop.folder / "shop" / "models.py").write_text(models)
    shop.commands(("makemigrations", "-v0"), ("migrate", "-v0"), NOTHING_LEFT)
    assert shop.python(WRITE).split() == ["1", "0"]


def test_it_works_in_another_schema(shop: Project) -> None:
    shop.sql('CREATE SCHEMA "ten ant"')
    shop.add_settings("""
        DATABASES["default"]["OPTIONS"]["options"] = '-c search_path="ten\\\\ ant"'
    """)
    shop.commands(("migrate", "-v0"), NOTHING_LEFT)
    assert shop.python(WRITE).split() == ["1", "0"]
    assert shop.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]
    assert "not guarded          -" in shop.manage("lockstep_retention", "status")
    shop.manage("lockstep_retention", "purge")


def test_a_table_with_rows_or_a_counter_says_why_it_cannot(shop: Project) -> None:
    (shop.folder / "shop" / "migrations" / "0001_initial.py").write_text(
        (shop.folder / "shop" / "migrations" / "0001_initial.py").read_text().replace(EXPIRING, "")
    )
    shop.manage("migrate", "-v0")
    shop.sql(
        'INSERT INTO "Shop\'s notes" (id, "Gone At", "order", words) VALUES (gen_random_uuid(), now(), 0, 1)'
    )
    shop.migration(
        "0002_expires",
        f"""
from datetime import timedelta
from django.db import migrations
from lockstep.core.retention.operations import Expiring

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
{EXPIRING}    ]
""",
    )
    assert "has rows" in shop.manage("migrate", "-v0", fails=True)


def test_other_databases_are_left_alone(shop: Project) -> None:
    shop.add_settings("""
        DATABASES["lite"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "lite.sqlite3"}
    """)
    shop.commands(
        ("migrate", "-v0"), ("migrate", "-v0", "--database", "lite"),
        ("check", "--deploy", "--database", "lite", "--tag", "database"),
        ("migrate", "-v0", "--database", "lite", "shop", "zero"),
    )  # fmt: skip
    assert "Nothing expires" in shop.manage("lockstep_retention", "status", "--database", "lite", fails=True)
