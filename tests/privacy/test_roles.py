"""Who may do what: the application's role is ordinary (level A), or not even the owner (level B)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from psycopg import errors

from tests.migrations.project import Project, fresh_database, server_url
from tests.privacy.rows import TABLE, day_of, kept, put
from tests.privacy.sessions import keep

OWNER, APP = f"lockstep_owner_{os.getpid()}", f"lockstep_app_{os.getpid()}"


def found(**more: Any) -> set[str]:
    messages = run_checks(tags=["database"], databases=["default"], include_deployment_checks=True)
    return {str(message.id) for message in messages if str(message.id).startswith("lockstep_core.")}


@pytest.mark.django_db
def test_level_a_is_in_order_and_told_how_to_dump() -> None:
    assert found() == {"lockstep_core.I010"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        ("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY", "lockstep_core.E011"),
        ("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY", "lockstep_core.E011"),
        ("ALTER TABLE {part} NO FORCE ROW LEVEL SECURITY", "lockstep_core.E011"),
        ("ALTER TABLE {part} DISABLE ROW LEVEL SECURITY", "lockstep_core.E011"),
        ("DROP POLICY lockstep_unexpired ON {part}", "lockstep_core.E011"),
        ("DROP POLICY lockstep_lifetime ON {table}", "lockstep_core.E011"),
        ("ALTER POLICY lockstep_unexpired ON {part} USING (true)", "lockstep_core.E011"),
        ("ALTER TABLE {table} RENAME TO elsewhere", "lockstep_core.E010"),
        ("UPDATE lockstep_core_expiringtable SET most = keep", "lockstep_core.W011"),
    ],
)
def test_what_opens_a_table_is_found(spoil: str, name: str) -> None:
    kept(timedelta(days=2))
    with connection.cursor() as cursor:
        cursor.execute(spoil.format(table=TABLE, part=f"{TABLE}_{day_of(2)}"))
    assert found() == {"lockstep_core.I010", name}


@pytest.mark.django_db
def test_a_purge_that_stands_still_is_found() -> None:
    put(-2)
    assert found() == {"lockstep_core.I010", "lockstep_core.W010"}


@pytest.mark.django_db
def test_an_owner_that_is_the_application_is_found(settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"retention": {"owner": "lockstep_owner"}}
    assert {"lockstep_core.E013", "lockstep_core.E014"} <= found()


def superuser(database: str) -> str:
    return re.sub(r"user=\S+", "user=postgres", server_url(database))


@pytest.fixture
def split(db: None, tmp_path: Any) -> Iterator[Project]:
    """A project whose tables belong to another role than the one it connects as."""
    name = f"lockstep_split_{os.getpid()}"
    try:
        psycopg.connect(superuser("postgres")).close()
    except psycopg.Error:
        pytest.skip("no superuser on this server, who could make roles")
    with psycopg.connect(superuser("postgres"), autocommit=True) as root:
        root.execute(f"CREATE ROLE {APP} LOGIN")
    try:
        with fresh_database(name) as url:
            with psycopg.connect(superuser(name), autocommit=True) as root:
                root.execute(f"GRANT ALL ON SCHEMA public TO {APP}")
            project = Project(tmp_path / "project", re.sub(r"user=\S+", f"user={APP}", url), apps=())
            project.settings(
                (project.folder / "settings.py").read_text().replace(
                    '"lockstep.search", *APPS', '"lockstep.privacy", *APPS'
                ).split("\nLOCKSTEP")[0] + f'\nLOCKSTEP = {{"retention": {{"owner": "{OWNER}"}}}}\n'
            )  # fmt: skip
            project.manage("migrate", "-v0")
            script = project.manage("lockstep_retention", "roles")
            with psycopg.connect(superuser(name), autocommit=True) as root:
                root.execute(script)
            yield project
    finally:
        with psycopg.connect(superuser("postgres"), autocommit=True) as root:
            for role in (APP, OWNER):
                root.execute(f"DROP ROLE IF EXISTS {role}")


def test_level_b_works_and_leaves_the_application_no_way_around(split: Project, tmp_path: Any) -> None:
    split.manage("check", "--deploy", "--database", "default", "--tag", "database", "--fail-level", "ERROR")
    split.manage("lockstep_retention", "status")
    with psycopg.connect(split.database, autocommit=True) as app:
        keep(app, 11, "ann")  # its partition is missing, and the application makes none itself
        keep(app, 1 / 86400, "ann")
        assert app.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (2,)
        for forbidden in (
            f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {TABLE}_{day_of(11)} DISABLE ROW LEVEL SECURITY",
            f"DROP POLICY lockstep_unexpired ON {TABLE}_{day_of(11)}",
            f"DROP TABLE {TABLE}_{day_of(11)}",
            f"TRUNCATE {TABLE}",
            f"CREATE TABLE copies AS TABLE {TABLE}",
            "UPDATE lockstep_core_expiringtable SET most = interval '9 years'",
            "INSERT INTO lockstep_core_legalhold (subject, actor, reason) VALUES ('ann', 'a', 'r')",
            "DELETE FROM lockstep_core_purge",
            "ALTER FUNCTION lockstep_core_purge_v1(text, int) SECURITY INVOKER",
            f"SET ROLE {OWNER}",
            "SET row_security = off; SELECT * FROM " + TABLE,
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                app.execute(forbidden)
        app.execute("SET row_security = on")
        app.execute("SELECT pg_sleep(1)")
        assert app.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (1,)
        assert app.execute(f"SELECT count(*) FROM {TABLE}_{day_of(0)}").fetchone() == (0,)
    age(split, days=12)
    assert "1 rows gone" in split.manage("lockstep_retention", "purge")
    split.manage("lockstep_retention", "hold", "--subject", "ann", "--actor", "ann", "--reason", "case 7")
    split.manage("lockstep_retention", "status")


def age(project: Project, days: int) -> None:
    """A day of long ago with a row, made by the superuser."""
    name = re.search(r"dbname=(\S+)", project.database)
    assert name
    with psycopg.connect(superuser(name[1]), autocommit=True) as root:
        root.execute(f"SET ROLE {OWNER}")
        part = f"{TABLE}_{day_of(-days)}"
        root.execute(f"CREATE TABLE {part} (LIKE {TABLE} INCLUDING ALL)")
        root.execute(f"INSERT INTO {part} (call, at, expires_at, feature, subject, policy, detectors, request,"
                     " response, entities, encryption) SELECT gen_random_uuid(), now(), date_trunc('day', now(), 'UTC')"
                     f" - interval '{days * 24 - 1} hours', '', '', '', '', '', '', '{{}}', ''")  # fmt: skip
        root.execute("SELECT lockstep_core_guard_v1(%s, %s::regclass)", [TABLE, part])
        root.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {part} FOR VALUES FROM"
            f" ('{day_of(-days)} 00:00+00') TO ('{day_of(1 - days)} 00:00+00')"
        )


@pytest.mark.django_db
def test_the_script_of_level_b_names_the_role_of_the_connection() -> None:
    out = StringIO()
    call_command("lockstep_retention", "roles", "--owner", "boss", stdout=out)
    assert 'REASSIGN OWNED BY "{}" TO "boss"'.format(connection.settings_dict["USER"]) in out.getvalue()
