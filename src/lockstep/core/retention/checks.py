"""System checks of retention. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from lockstep.core import ports
from lockstep.core.retention.conf import lifetimes, settings
from lockstep.core.retention.evidence import LATE, unguarded
from lockstep.core.retention.models import ExpiringTable
from lockstep.core.retention.policies import expiring, is_installed, model_of

__all__ = ["check_retention", "check_roles"]


def check_retention(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """E010 to E012, W010 and W011: something that expires is not guarded, or nobody purges it."""
    return [
        message
        for using in databases or []
        if connections[using].vendor == "postgresql" and is_installed(using)
        for message in (*_check_tables(using), *_check_limits(using))
    ]


def _check_tables(using: str) -> Iterator[CheckMessage]:
    for table in expiring(using):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", [table])
            if not cursor.fetchone()[0]:
                yield Error(
                    f"{table} was to expire, and is no table of {using!r} any more.",
                    hint="It was renamed or dropped by hand. Rename it back, or delete its row of"
                    " lockstep_core_expiringtable.",
                    obj=table,
                    id="lockstep_core.E010",
                )
                continue
            for name in unguarded(cursor, table):
                yield Error(
                    f"{name} is not guarded: row security is off, not forced, or a policy of it is missing.",
                    hint=f"As the owner: SELECT lockstep_core_guard_v1('{table}', '{name}');",
                    obj=name,
                    id="lockstep_core.E011",
                )
            cursor.execute(
                "SELECT swept_at IS NULL OR swept_at < now() - %s, (SELECT count(*) FROM lockstep_core_due_v1(%s))"
                " FROM lockstep_core_expiringtable WHERE table_name = %s",
                [LATE, table, table],  # type: ignore[list-item]
            )
            late, due = cursor.fetchone()
        if late and due:
            yield Caution(
                f"Nobody purges {table}: {due} days have expired. They cannot be read, but take up disk.",
                hint="Run manage.py lockstep_retention purge --follow, or purge once a day.",
                obj=table,
                id="lockstep_core.W010",
            )


def _check_limits(using: str) -> Iterator[CheckMessage]:
    """What the settings say and what the database accepts."""
    try:
        wanted = {entry.model: lifetimes(entry) for entry in ports.retention.get().values()}
    except ImproperlyConfigured:  # lockstep_core.E001 says so
        return
    rows = {row.table_name: row for row in ExpiringTable.objects.using(using).all()}
    for label, limits in wanted.items():
        model = model_of(label)
        row = rows.get(model._meta.db_table) if model else None
        if row and limits and (row.keep, row.most) != limits:
            yield Caution(
                f"{label} is to be kept {limits[0]} and {limits[1]} at most;"
                f" the database says {row.keep} and {row.most}.",
                hint="Run migrate: it writes the limits of the settings into the database.",
                obj=label,
                id="lockstep_core.W011",
            )


def check_roles(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """E012 to E014 and I010: row security does not bind the role that the application has."""
    return [
        message
        for using in databases or []
        if connections[using].vendor == "postgresql" and is_installed(using) and list(expiring(using))
        for message in _check_role(using)
    ]


def _check_role(using: str) -> Iterator[CheckMessage]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        role, is_super, bypasses = cursor.fetchone()
    if is_super or bypasses:
        power = "a superuser" if is_super else "allowed to bypass row security (BYPASSRLS)"
        yield Error(
            f"The application's role {role!r} is {power}: it reads what has expired.",
            hint=f'Connect as another role, or as a superuser: ALTER ROLE "{role}" NOSUPERUSER NOBYPASSRLS;',
            obj=using,
            id="lockstep_core.E012",
        )
        return
    yield from _check_owner(using, role)
    yield Info(
        "A plain pg_dump as this role fails (“query would be affected by row-level security”).",
        hint="Dump with pg_dump --enable-row-security: what has expired is left out. Dumps need a schedule of their own"
        " by which they are deleted; see docs/howto/retention.md.",
        obj=using,
        id="lockstep_core.I010",
    )


def _check_owner(using: str, role: str) -> Iterator[CheckMessage]:
    try:
        owner = settings().owner
    except ImproperlyConfigured:  # lockstep_core.E001 says so
        return
    if not owner:
        return
    with connections[using].cursor() as cursor:
        for table in expiring(using):
            cursor.execute(
                "SELECT c.relname, pg_get_userbyid(c.relowner), pg_has_role(current_user, c.relowner, 'MEMBER')"
                " FROM pg_class AS c WHERE c.oid = to_regclass(quote_ident(%s)) OR c.oid IN"
                " (SELECT relation FROM lockstep_core_partitions_v1(%s))",
                [table, table],
            )
            for name, present, may in cursor.fetchall():
                if may:
                    yield Error(
                        f"{name} belongs to {present!r}, and the application's role {role!r} is or may become it:"
                        " it could switch row security off.",
                        hint=f"Run as a superuser what manage.py lockstep_retention roles --owner {owner} prints.",
                        obj=name,
                        id="lockstep_core.E013",
                    )
        cursor.execute(
            "SELECT has_schema_privilege(current_schema(), 'CREATE'),"
            " has_table_privilege('lockstep_core_expiringtable', 'UPDATE')"
        )
        creates, writes = cursor.fetchone()
    if creates or writes:
        what = "make tables in the schema" if creates else "change the lifetimes"
        yield Error(
            f"The application's role {role!r} may {what}, which at level B only {owner!r} may.",
            hint=f"Run as a superuser what manage.py lockstep_retention roles --owner {owner} prints.",
            obj=using,
            id="lockstep_core.E014",
        )
