"""Embedding spaces: a typed vector table for each, a child of the index's chunk table.

A child inherits the columns, is truncated and dropped with its parent, and adds ``embedding halfvec(n)``
with an HNSW index of its own. Its DDL happens at run time, outside the state of migrations.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connections, router, transaction

from lockstep.core.exceptions import LockstepError
from lockstep.search.chunking import CHUNKER
from lockstep.search.ddl import VALIDATE_AT_ONCE, name
from lockstep.search.declaration import all_indexes
from lockstep.search.exceptions import SpaceError
from lockstep.search.models import Space

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration
    from lockstep.search.embedders.base import Embedder

__all__ = [
    "SpaceInfo",
    "active",
    "build_vector_index",
    "drop_retired",
    "ensure",
    "ensure_all",
    "forget",
    "has_vector_index",
    "replace",
]

logger = logging.getLogger("lockstep.search")

_known: dict[tuple[str, str, str], SpaceInfo] = {}


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """The active space of an index on one database."""

    id: int
    key: str
    table: str
    dimensions: int
    model: str
    revision: str
    alias: str


def space_key(embedder: Embedder) -> str:
    """Digest of what makes vectors comparable: model, revision, dimensions, prefixes and chunker."""
    parts = (
        embedder.model, embedder.revision, embedder.dimensions,
        embedder.document_prefix, embedder.query_prefix, CHUNKER,
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def active(index: Declaration, using: str) -> SpaceInfo:
    """The space that searches read and writes fill; made on first use.

    Raises:
        SpaceError: the settings now name another model than the vectors were made with.
    """
    place = (index.label, using, str(connections[using].settings_dict["NAME"]))
    found = _known.get(place)
    if found is None:
        row = Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE).first()
        found = _info(row) if row else ensure(index, using)
        if not connections[using].in_atomic_block:  # what a rollback may take away is not remembered
            _known[place] = found
    if found.key != space_key(index.embedder):
        raise SpaceError(
            f"The vectors of {index.label} were made by {found.model!r} ({found.dimensions} dimensions), but the"
            f" embedder {index.embedder_alias!r} is now {index.embedder.model!r} ({index.embedder.dimensions}), or"
            f" another revision, prefix or chunker than the {CHUNKER} of this release."
            f" Put the old model back, or run: manage.py lockstep_reembed {index.label} --new-space",
            index=index.label,
        )
    return found


def _info(row: Space) -> SpaceInfo:
    return SpaceInfo(row.pk, row.key, row.table, row.dimensions, row.model, row.revision, row.alias)


def forget() -> None:
    """Drop what this process remembers of spaces (a database was restored or flushed)."""
    _known.clear()


def ensure(index: Declaration, using: str) -> SpaceInfo:
    """Make the space that the settings name, its table and its row, unless the index has an active one."""
    embedder = index.embedder
    key = space_key(embedder)
    table = f"{index.chunk_table}_{key}"
    values = {
        "state": Space.State.ACTIVE,
        "alias": index.embedder_alias,
        "model": embedder.model,
        "revision": embedder.revision,
        "dimensions": embedder.dimensions,
        "document_prefix": embedder.document_prefix,
        "query_prefix": embedder.query_prefix,
        "chunker": CHUNKER,
        "table": table,
    }
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
        row = _standing(index, using, cursor)
        if row is None:
            if not _exists(table, cursor):
                _create_table(index, table, embedder.dimensions, cursor)
            row, _ = Space.objects.using(using).update_or_create(index=index.label, key=key, defaults=values)
    return _info(row)


def _standing(index: Declaration, using: str, cursor: Any) -> Space | None:
    """The active space, if its table is there: migrating an app to zero drops tables, not our rows."""
    rows = Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE)
    for row in rows:
        if _exists(row.table, cursor):
            return row
        row.delete(using=using)
    return None


def _exists(table: str, cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name(table)])
    return bool(cursor.fetchone()[0])


def replace(index: Declaration, using: str) -> SpaceInfo:
    """Make the space that the settings name the active one, in place of another model's.

    The dense leg then finds only what ``lockstep_reembed`` has embedded anew; the other legs are not
    concerned. The old vectors go with ``drop_retired`` once all records have new ones.
    """
    with transaction.atomic(using=using):
        key = space_key(index.embedder)
        old = Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE).exclude(key=key)
        old.update(state=Space.State.RETIRED)
        Space.objects.using(using).filter(index=index.label, key=key).delete()
        made = ensure(index, using)
    forget()
    return made


def drop_retired(index: Declaration, using: str) -> int:
    """Drop the vectors of replaced models, unless records still lean on them. Returns: how many spaces."""
    manifest = index.siblings.manifest._base_manager.using(using)
    count = 0
    for space in Space.objects.using(using).filter(index=index.label, state=Space.State.RETIRED):
        if not manifest.filter(space_id=space.pk).exists():
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {name(space.table)}")
                space.delete()
            count += 1
    return count


def _create_table(index: Declaration, table: str, dimensions: int, cursor: Any) -> None:
    quoted, slug = name(table), index.slug
    record, pk = name(index.table), name(index.pk_column)
    later = "DEFERRABLE INITIALLY DEFERRED"
    cursor.execute(
        f"CREATE TABLE {quoted} (embedding halfvec({int(dimensions)}) NOT NULL) INHERITS ({name(index.chunk_table)});"
        f"ALTER TABLE {quoted} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY,"
        # A vector whose text changed is detached, kept until the new ones arrive so that unchanged chunks
        # are not paid for again, and never ranked: it has no digest and stands in no vector index.
        f" ADD CONSTRAINT {name(slug + '_fresh')} FOREIGN KEY (record_id, digest)"
        f" REFERENCES {name(index.manifest_table)} (record_id, digest) ON DELETE SET NULL (digest) {later},"
        f" ADD CONSTRAINT {name(slug + '_of')} FOREIGN KEY (record_id)"
        f" REFERENCES {record} ({pk}) ON DELETE CASCADE {later};"
        f"CREATE INDEX ON {quoted} (record_id);"
        f"CREATE INDEX ON {quoted} (text_key)"
    )
    cursor.execute(f"SELECT count(*) FROM (SELECT FROM {record} LIMIT {VALIDATE_AT_ONCE + 1}) few")
    if cursor.fetchone()[0] <= VALIDATE_AT_ONCE:
        cursor.execute(vector_index_sql(table))


def vector_index_name(table: str) -> str:
    return f"{table}_v"


def vector_index_sql(table: str, concurrently: bool = False) -> str:
    return (
        f"CREATE INDEX {'CONCURRENTLY ' if concurrently else ''}{name(vector_index_name(table))} ON {name(table)}"
        " USING hnsw (embedding halfvec_cosine_ops) WHERE digest IS NOT NULL"
    )


def has_vector_index(space: SpaceInfo, using: str) -> bool:
    """Whether the HNSW index exists and is valid (a killed CONCURRENTLY leaves an invalid one)."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            [name(vector_index_name(space.table))],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def build_vector_index(space: SpaceInfo, using: str) -> None:
    """Build the HNSW index without blocking writes; an invalid left-over is dropped first.

    A parallel build needs shared memory (Docker gives 64 MB); where that is refused one process builds.
    """
    connection = connections[using]
    concurrently = not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute(
            f"DROP INDEX {'CONCURRENTLY ' if concurrently else ''}IF EXISTS {name(vector_index_name(space.table))}"
        )
        try:
            cursor.execute(vector_index_sql(space.table, concurrently))
        except OperationalError as error:
            if not concurrently or "shared memory" not in str(error):
                raise
            logger.warning(
                "Shared memory is too small for a parallel build of %s; building alone.", space.table
            )
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name(vector_index_name(space.table))}")
            cursor.execute("SET max_parallel_maintenance_workers = 0")
            try:
                cursor.execute(vector_index_sql(space.table, concurrently))
            finally:
                cursor.execute("RESET max_parallel_maintenance_workers")


def ensure_all(*, using: str, **_: Any) -> None:
    """Make the missing spaces after migrate, the way permissions are made."""
    forget()
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    tables = set(connection.introspection.table_names())
    for index in all_indexes():
        if (
            index.chunk_table in tables
            and Space._meta.db_table in tables
            and router.allow_migrate_model(using, index.model)
        ):
            try:
                ensure(index, using)
            except LockstepError as error:
                logger.warning("No embedding space for %s yet: %s", index.label, error)
