"""Level B: one role owns the tables and runs migrations, another is the application's."""

from __future__ import annotations

from django.db import connections

from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge

__all__ = ["setup"]


def setup(using: str, *, owner: str, app: str = "") -> str:
    """The SQL that a superuser runs once, connected to the database of ``using``.

    Args:
        owner: role that will own everything in it; made when missing.
        app: role of the application; None means that of the connection.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema(), current_user, current_database()")
        schema, current, database = cursor.fetchone()
    quote = connection.ops.quote_name
    mine, theirs, place = quote(owner), quote(app or current), quote(schema)
    records = ", ".join(
        f"{place}.{quote(model._meta.db_table)}" for model in (ExpiringTable, LegalHold, Purge)
    )
    return f"""\
-- Level B for the database {database}: run as a superuser, connected to it, while the application is stopped.
-- Afterwards migrate, createcachetable and lockstep_reembed run as {owner}, everything else as {app or current}.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{owner.replace("'", "''")}') THEN
    CREATE ROLE {mine} LOGIN;  -- then: \\password {owner}
  END IF;
END $$;
ALTER ROLE {mine} NOSUPERUSER NOBYPASSRLS;
ALTER ROLE {theirs} NOSUPERUSER NOBYPASSRLS NOCREATEROLE;
REVOKE {mine} FROM {theirs};
-- everything that the application owns in this database (and the database itself, and others that it owns):
REASSIGN OWNED BY {theirs} TO {mine};
GRANT CREATE, USAGE ON SCHEMA {place} TO {mine};
REVOKE CREATE ON SCHEMA {place} FROM PUBLIC, {theirs};
GRANT USAGE ON SCHEMA {place} TO {theirs};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {place} TO {theirs};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {place} TO {theirs};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {place} TO {theirs};
ALTER DEFAULT PRIVILEGES FOR ROLE {mine} IN SCHEMA {place} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {theirs};
ALTER DEFAULT PRIVILEGES FOR ROLE {mine} IN SCHEMA {place} GRANT USAGE, SELECT ON SEQUENCES TO {theirs};
ALTER DEFAULT PRIVILEGES FOR ROLE {mine} IN SCHEMA {place} GRANT EXECUTE ON FUNCTIONS TO {theirs};
-- lifetimes, holds and evidence are written by functions of the owner alone:
REVOKE INSERT, UPDATE, DELETE ON {records} FROM {theirs};
"""
