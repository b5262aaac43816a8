"""Embedding spaces: a typed vector table for each, a child of the index's chunk table.

A child inherits the columns, is truncated and dropped with its parent, and adds ``embedding halfvec(n)``
with an HNSW index of its own. Its DDL happens at run time, outside the state of migrations.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction

from lockstep.core.exceptions import LockstepError
from lockstep.search.chunking import CHUNKER
from lockstep.search.ddl import ORPHANS, name
from lockstep.search.declaration import all_indexes
from lockstep.search.exceptions import SpaceError
from lockstep.search.models import Space
from lockstep.search.vector_tables import create_table, exists, rename_children

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration
    from lockstep.search.embedders.base import Embedder

__all__ = [
    "SpaceInfo",
    "active",
    "drop_retired",
    "ensure",
    "ensure_all",
    "find",
    "forget",
    "replace",
]

logger = logging.getLogger("lockstep.search")

_known: dict[tuple[str, str, str], SpaceInfo] = {}
_unsure: set[tuple[str, str, str]] = set()
_held: dict[tuple[str, str, str], tuple[SpaceInfo, Any]] = {}
"""What a transaction that is still open has made, and the atomic block that may yet take it away."""
"""Places whose space was made in a transaction that may be rolled back."""


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
    connection = connections[using]
    place = (index.label, using, str(connection.settings_dict["NAME"]))
    if place in _known:
        return _checked(index, _known[place])
    if place in _held and any(block is _held[place][1] for block in connection.atomic_blocks):
        return _checked(index, _held[place][0])
    info = find(index, using)
    if info is None:
        info = ensure(index, using)
        if connection.in_atomic_block:  # what a rollback may take away is not remembered
            _unsure.add(place)
    _checked(index, info)
    if place not in _unsure or not connection.in_atomic_block:
        _known[place] = info
        _unsure.discard(place)
    elif connection.atomic_blocks:
        _held[place] = info, connection.atomic_blocks[-1]
    return info


def find(index: Declaration, using: str) -> SpaceInfo | None:
    """The active space of an index, without making one or asking which model the settings name."""
    row = Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE).first()
    return _info(row) if row else None


def _checked(index: Declaration, found: SpaceInfo) -> SpaceInfo:
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
    _unsure.clear()
    _held.clear()


def ensure(index: Declaration, using: str) -> SpaceInfo:
    """Make the space that the settings name, its table and its row, unless the index has an active one.

    Raises:
        SpaceError: pgvector cannot index vectors of so many dimensions.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [index.chunk_table])
        _adopt(index, using, cursor)
        for row in Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE):
            if exists(row.table, cursor):
                return _info(row)
            if row.key != space_key(index.embedder):  # migrating an app to zero drops tables, not our rows
                row.delete(using=using)
        return _make(index, using, cursor)


def _in_place(index: Declaration, found: SpaceInfo, cursor: Any) -> bool:
    return found.table == f"{index.chunk_table}_{found.key}" and exists(found.table, cursor)


def _adopt(index: Declaration, using: str, cursor: Any) -> None:
    """Spaces of an index whose model was renamed: the vector tables are still children of its chunk table."""
    cursor.execute(
        f"SELECT s.id FROM {name(Space._meta.db_table)} s"
        " JOIN pg_inherits i ON i.inhrelid = to_regclass(quote_ident(s.table))"
        " WHERE i.inhparent = to_regclass(%s)",
        [name(index.chunk_table)],
    )
    ours = [row[0] for row in cursor.fetchall()]
    rename_children(index, cursor)
    for row in Space.objects.using(using).filter(pk__in=ours).exclude(index=index.label):
        Space.objects.using(using).filter(index=index.label, key=row.key).delete()
        row.index = index.label
        row.save(using=using)
    for row in Space.objects.using(using).filter(pk__in=ours):
        row.table = f"{index.chunk_table}_{row.key}"
        row.save(using=using)


def _make(index: Declaration, using: str, cursor: Any) -> SpaceInfo:
    embedder = index.embedder
    key = space_key(embedder)
    table = f"{index.chunk_table}_{key}"
    if not exists(table, cursor):
        create_table(index, table, embedder.dimensions, cursor)
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
    row, _ = Space.objects.using(using).update_or_create(index=index.label, key=key, defaults=values)
    return _info(row)


def replace(index: Declaration, using: str) -> SpaceInfo:
    """Make the space that the settings name the active one, in place of another model's.

    The dense leg then finds only what ``lockstep_reembed`` has embedded anew; the other legs are not
    concerned. The old vectors go with ``drop_retired`` once all records have new ones.
    """
    key = space_key(index.embedder)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        old = Space.objects.using(using).filter(index=index.label, state=Space.State.ACTIVE).exclude(key=key)
        old.update(state=Space.State.RETIRED)
        made = _make(index, using, cursor)
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


def ensure_all(*, using: str, **_: Any) -> None:
    """Make the missing spaces after migrate, the way permissions are made."""
    forget()
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for index in all_indexes():
            tables = (index.chunk_table, Space._meta.db_table)
            if router.allow_migrate_model(using, index.model) and all(exists(t, cursor) for t in tables):
                try:
                    found = find(index, using)
                    if found is None or not _in_place(index, found, cursor):
                        ensure(index, using)
                    active(index, using)
                except LockstepError as error:
                    logger.warning("%s cannot embed yet: %s", index.label, error)
        cursor.execute(ORPHANS)
        for (function,) in cursor.fetchall():
            cursor.execute(f"DROP FUNCTION IF EXISTS {name(function)}()")
