"""System checks of search. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.db import ProgrammingError, connections

from lockstep.core.exceptions import LockstepError
from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration, all_indexes
from lockstep.search.spaces import find, space_key
from lockstep.search.vector_tables import has_vector_index

__all__ = ["check_database", "check_declarations"]

MINIMUM_PGVECTOR = (0, 8, 0)
ADVISED_PGVECTOR = (0, 8, 4)
MINIMUM_POSTGRES = 160000


def check_declarations(**_: Any) -> list[CheckMessage]:
    """E001 to W004: what the declarations of the indexes say, without a database."""
    return [message for index in all_indexes() for message in _check_declaration(index)]


def _check_declaration(index: Declaration) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if index.embedder_alias not in settings().embedders:
        from lockstep.core.conf import nearest

        found.append(
            Error(
                f"{index.label} names the embedder {index.embedder_alias!r}, which LOCKSTEP does not have.",
                hint=nearest(index.embedder_alias, set(settings().embedders)),
                obj=index.model,
                id="lockstep_search.E001",
            )
        )
        return found
    if index.strict:
        found += _check_strict(index)
    return found


def _check_strict(index: Declaration) -> list[CheckMessage]:
    from lockstep.search.writes import InStepMixin

    found: list[CheckMessage] = []
    manager = index.model._default_manager
    if not issubclass(getattr(manager, "_queryset_class", object), InStepMixin):
        found.append(
            Error(
                f"{index.model._meta.label} has a strict index, but bulk writes through its manager do not embed.",
                hint="Write `objects = SearchQuerySet.as_manager()`, or inherit your queryset from SearchQuerySet.",
                obj=index.model,
                id="lockstep_search.E002",
            )
        )
    atomic = any(database.get("ATOMIC_REQUESTS") for database in django_settings.DATABASES.values())
    try:
        remote = index.embedder.remote
    except (LockstepError, ImportError, TypeError, ValueError) as error:
        return [*found, Error(str(error), obj=index.model, id="lockstep_search.E003",
                              hint="See docs/howto/embedders.md.")]  # fmt: skip
    if atomic and remote:
        found.append(
            Caution(
                f"{index.label} is strict with a remote embedder, and ATOMIC_REQUESTS is on: a save waits for the"
                f" network with a transaction open, up to {settings().atomic_timeout_s} s.",
                hint="Call prepare() before the transaction, mark the view non_atomic_requests, or defer.",
                obj=index.model,
                id="lockstep_search.W004",
            )
        )
    return found


def check_database(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    """E010 to W016: versions, tables and keys of each database that holds indexed models."""
    found: list[CheckMessage] = []
    for using in databases or []:
        connection = connections[using]
        if connection.vendor == "postgresql":
            tables = set(connection.introspection.table_names())
            present = [index for index in all_indexes() if index.chunk_table in tables]
            if present:
                found += _check_versions(connection)
                found += [message for index in present for message in _check_index(index, using)]
    return found


def _check_versions(connection: Any) -> list[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        row = cursor.fetchone()
    database = connection.settings_dict["NAME"]
    if row is None:
        return [
            Error(
                f"pgvector is not installed in the database {database!r}.",
                hint="It is not a trusted extension. As a superuser in that database: CREATE EXTENSION vector;",
                id="lockstep_search.E010",
            )
        ]
    found: list[CheckMessage] = []
    version = tuple(int(part) for part in row[0].split(".")[:3] if part.isdigit())
    if version < MINIMUM_PGVECTOR:
        found.append(
            Error(
                f"pgvector {row[0]} in {database!r} has no iterative scans: filtered searches would come back short.",
                hint="Install pgvector 0.8.4 or later, then: ALTER EXTENSION vector UPDATE;",
                id="lockstep_search.E011",
            )
        )
    elif version < ADVISED_PGVECTOR:
        found.append(
            Caution(
                f"pgvector {row[0]} in {database!r} can corrupt HNSW indexes on vacuum (mended in 0.8.3 and 0.8.4).",
                hint="Install pgvector 0.8.4 or later, then: ALTER EXTENSION vector UPDATE;",
                id="lockstep_search.W011",
            )
        )
    if connection.pg_version < MINIMUM_POSTGRES:
        found.append(
            Error(
                f"PostgreSQL {connection.pg_version // 10000} serves {database!r}; 16 is the oldest that works.",
                hint="Upgrade PostgreSQL.",
                id="lockstep_search.E012",
            )
        )
    return found


def _check_index(index: Declaration, using: str) -> list[CheckMessage]:
    command = f"manage.py lockstep_reembed {index.label}"
    try:
        space = find(index, using)
    except ProgrammingError:  # this release's own migration has not run yet
        return []
    found = _check_triggers(index, using)
    if space is None:
        return found  # made by the next migrate or write
    if space.key != space_key(index.embedder):
        # A warning: an error here would keep `migrate` from running, which may be what mends it.
        found.append(
            Caution(
                f"{index.label} was embedded by {space.model!r}, the settings now name {index.embedder.model!r}"
                " or other dimensions, revision or prefixes: text cannot be written, and is not found by meaning.",
                hint=f"Put the old model back, or run: {command} --new-space",
                obj=index.model,
                id="lockstep_search.W012",
            )
        )
    if not has_vector_index(space.table, using):
        found.append(
            Caution(
                f"{index.label} has no valid vector index on {using!r}: dense search reads every vector.",
                hint=f"Run: {command}",
                obj=index.model,
                id="lockstep_search.W013",
            )
        )
    if _has_unvalidated(index, using):
        found.append(
            Caution(
                f"Rows of {index.model._meta.label} from before the index may have no embedding yet.",
                hint=f"Run: {command}",
                obj=index.model,
                id="lockstep_search.W014",
            )
        )
    return found


def _has_unvalidated(index: Declaration, using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s"
            " AND NOT convalidated)",
            [name(index.table), f"{index.slug}_embedded"],
        )
        return bool(cursor.fetchone()[0])


def _check_triggers(index: Declaration, using: str) -> list[CheckMessage]:
    """Ours must be on, and the last to see a row before it is written."""
    ours = f"zzz_{index.slug}_digest"
    with connections[using].cursor() as cursor:
        cursor.execute(  # tgtype: 1 row, 2 before; tgenabled: D disabled, R only while replicating
            "SELECT tgname, tgenabled IN ('D', 'R') FROM pg_trigger WHERE tgrelid = to_regclass(%s)"
            " AND (tgname LIKE %s OR NOT starts_with(tgname::text, 'zzz_ls_')"
            ' AND tgname > %s COLLATE "C" AND tgtype & 3 = 3 AND NOT tgisinternal)',
            [name(index.table), f"%{index.slug}%", ours],
        )
        rows: dict[str, bool] = dict(cursor.fetchall())
    later = sorted(trigger for trigger in rows if index.slug not in trigger)
    found: list[CheckMessage] = []
    if off := sorted(trigger for trigger, disabled in rows.items() if disabled and index.slug in trigger):
        found.append(
            Caution(
                f"The trigger {off[0]} of {index.model._meta.label} is disabled: what is written now is not in step.",
                hint=f"ALTER TABLE {name(index.table)} ENABLE TRIGGER USER; then: manage.py lockstep_reembed"
                f" {index.label} --verify",
                obj=index.model,
                id="lockstep_search.W015",
            )
        )
    if later:
        found.append(
            Caution(
                f"The trigger {later[0]} of {index.model._meta.label} runs after the one that reads the text: what it"
                " changes is not embedded.",
                hint=f"Triggers of one event run by name: give it one before {ours!r}.",
                obj=index.model,
                id="lockstep_search.W016",
            )
        )
    return found
