"""A database of its own for each run, made and dropped here: a benchmark never touches a project's tables."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.exceptions import BenchmarkError

SERVER = "DATABASE_URL"
DROPPED_WITHIN_S = 30
SCRATCH = "LOCKSTEP_BENCH_DATABASE_URL"
"""Where the run's own database is; benchmarks.project.settings reads it, also in worker processes."""


@contextmanager
def scratch(name: str) -> Iterator[str]:
    """Create ``lockstep_bench_<name>_<pid>`` beside the database of DATABASE_URL; drop it at the end.

    Raises:
        BenchmarkError: DATABASE_URL is unset, unreachable, or may not create databases.
    """
    server = os.environ.get(SERVER)
    if not server:
        raise BenchmarkError(
            f"{SERVER} is not set: run bin/bench, which starts a Postgres, or point it at one"
        )
    database = f"lockstep_bench_{name.replace('-', '_')}_{os.getpid()}"
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    os.environ[SCRATCH] = url(server, database)
    try:
        yield os.environ[SCRATCH]
    finally:
        del os.environ[SCRATCH]
        _drop(server, database)


def url(server: str, database: str) -> str:
    """Another database of the same server, as a URL, which libraries take that know no ``host=... user=...``."""
    parts = {name: str(value) for name, value in conninfo_to_dict(server, dbname=database).items()}
    user, password = quote(parts.pop("user", ""), safe=""), quote(parts.pop("password", ""), safe="")
    host, port = parts.pop("host", ""), parts.pop("port", "")
    if host.startswith("/"):  # a socket's folder cannot stand where a host name does
        parts, host, port = {"host": host, **({"port": port} if port else {}), **parts}, "", ""
    place = f"{user}{':' if password else ''}{password}{'@' if user else ''}{host}{':' if port else ''}{port}"
    name = quote(parts.pop("dbname"), safe="")
    return f"postgresql://{place}/{name}{'?' if parts else ''}{urlencode(parts, quote_via=quote)}"


def scratch_url() -> str:
    return os.environ[SCRATCH]


def vacuum() -> None:
    """VACUUM ANALYZE: the planner has statistics, and no autovacuum runs beside the first arm."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _drop(server: str, database: str) -> None:
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
    with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
        for _ in range(DROPPED_WITHIN_S):
            try:
                connection.execute(drop)
                return
            except psycopg.errors.InsufficientPrivilege:
                time.sleep(1)  # autovacuum is at work there, which only a superuser may end
    raise BenchmarkError(f"the database {database} could not be dropped: drop it by hand")


def _execute(server: str, statement: sql.Composed) -> None:
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)
    except psycopg.Error as error:
        raise BenchmarkError(f"Postgres at {SERVER} refused: {str(error).strip()}") from None
