"""A dump has nothing that had expired, and what it is restored into refuses as the original did."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from tests.integration.test_dump_and_restore import programs
from tests.migrations.project import fresh_database, server_url
from tests.privacy.rows import TABLE, day_of, kept, put
from tests.privacy.sessions import keep
from tests.privacy.test_holds import held_and_expired

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def target() -> Iterator[str]:
    with fresh_database(f"lockstep_restored_{os.getpid()}") as url:
        yield url


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs() / command[0], *command[1:]], capture_output=True, text=True, check=False
    )


def test_a_plain_dump_fails_rather_than_leave_out_what_it_cannot_read(tmp_path: Path) -> None:
    done = run("pg_dump", "-f", str(tmp_path / "dump"), "-d", server_url(connection.settings_dict["NAME"]))
    assert done.returncode != 0
    assert "query would be affected by row-level security" in done.stderr


def test_a_dump_with_row_security_has_no_expired_row_and_is_restored_with_its_refusals(
    tmp_path: Path, target: str
) -> None:
    live, soon = kept(subject="ann"), kept(timedelta(seconds=3))
    put(-1, count=3)
    put(-2, count=3)
    held = held_and_expired("bob")
    file = tmp_path / "dump"
    here = server_url(connection.settings_dict["NAME"])
    plain = run("pg_dump", "--enable-row-security", "-d", here)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.count("expired content") == 1  # the held one
    done = run("pg_dump", "--enable-row-security", "-Fc", "-f", str(file), "-d", here)
    assert done.returncode == 0, done.stderr
    done = run(
        "pg_restore", "--exit-on-error", "--single-transaction", "--no-comments", "-d", target, str(file)
    )
    assert done.returncode == 0, done.stderr
    with psycopg.connect(target, autocommit=True) as link:
        link.execute("SELECT pg_sleep(3)")
        found = {str(call) for (call,) in link.execute(f"SELECT call FROM {TABLE}")}
        assert found == {live, held}
        assert soon not in found
        assert link.execute(f"SELECT count(*) FROM {TABLE}_{day_of(-1)}").fetchone() == (0,)
        keep(link, 12)
        with pytest.raises(errors.InsufficientPrivilege, match="lockstep_lifetime"):
            link.execute(
                f"INSERT INTO {TABLE} (call, at, expires_at, feature, subject, policy, detectors, request, response,"
                " entities, encryption) SELECT gen_random_uuid(), now() - interval '70 days', expires_at, '', '', '',"
                f" '', '', '', '{{}}', '' FROM {TABLE} WHERE subject = 'ann'"
            )
        with pytest.raises(errors.RestrictViolation, match="legal hold"):
            link.execute(f"DELETE FROM {TABLE} WHERE subject = 'bob'")
        one = link.execute("SELECT lockstep_core_purge_v1(%s, 500)", [TABLE]).fetchone()
        assert one is not None
        assert (one[0]["rows"], one[0]["held"]) == (0, 1)
        assert link.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (3,)
