"""A database of the user's, named by DATABASE_URL, instead of our own server."""

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from .exceptions import DatabaseRefused

__all__ = ["check_database"]


def check_database(url: str, name: str) -> None:
    """See that the database of ``DATABASE_URL`` has pgvector, installing the extension if the role may.

    Raises:
        DatabaseRefused: no connection, or no ``vector`` and no right to create it; the message has the
            line for the DBA.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute("SET client_min_messages = warning")
            database, is_superuser = connection.execute(
                "SELECT current_database(), rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone() or ("", False)
            _require_vector(connection, database)
        if name == "test" and not is_superuser:
            _require_vector_in_template(url)
    except psycopg.OperationalError as error:
        raise DatabaseRefused(f"DATABASE_URL cannot be used: {error}") from error


def _require_vector(connection: psycopg.Connection[tuple[Any, ...]], database: str) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise DatabaseRefused(
            f"DATABASE_URL: no pgvector in the database {database}, and this role may not install it "
            f"({error}). A superuser there types once:  psql -d {database} -c 'CREATE EXTENSION vector'"
        ) from error


def _require_vector_in_template(url: str) -> None:
    """The test databases are copies of template1 and this role cannot add the extension to them."""
    with psycopg.connect(make_conninfo(url, dbname="template1")) as template:
        if not template.execute("SELECT FROM pg_extension WHERE extname = 'vector'").rowcount:
            raise DatabaseRefused(
                "DATABASE_URL: the tests create databases of their own, in which this role may not install "
                "pgvector. A superuser there types once:  psql -d template1 -c 'CREATE EXTENSION vector'"
            )
