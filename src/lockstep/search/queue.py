"""The queue of records that wait for an embedding, worked off by any number of processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration
from lockstep.search.exceptions import SearchError
from lockstep.search.settle import embed, pk_type, prepared_pks, warm
from lockstep.search.spaces import active
from lockstep.search.vectors import given

if TYPE_CHECKING:
    from lockstep.search.declaration import Document

__all__ = ["Backlog", "backlog", "enqueue", "stale_pks", "validate", "work_off"]

logger = logging.getLogger("lockstep.search")

#: A record that failed waits 2, 4, 8 … seconds, at most this many.
LONGEST_WAIT_S = 600


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far an index is behind."""

    waiting: int
    """Records in the queue."""
    failed: int
    """Those of them whose embedding failed at least once."""
    oldest_s: float
    """Age of the oldest, in seconds."""


def backlog(index: Declaration, using: str) -> Backlog:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE attempts > 0),"
            " coalesce(extract(epoch FROM statement_timestamp() - min(queued_at)), 0)::float"
            f" FROM {name(index.pending_table)}"
        )
        return Backlog(*cursor.fetchone())


def enqueue(index: Declaration, using: str) -> int:
    """Queue every record that is not enrolled, not embedded, or was read under an older declaration.

    Returns: how many were added.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name(index.pending_table)} (record_id) SELECT r.{name(index.pk_column)} {_behind(index)}"
            " ON CONFLICT (record_id) DO NOTHING",
            [index.recipe, active(index, using).id],
        )
        return int(cursor.rowcount)


def _behind(index: Declaration) -> str:
    pk, digest = name(index.pk_column), name(index.digest_name)
    return (
        f"FROM {name(index.table)} r"
        f" LEFT JOIN {name(index.manifest_table)} m ON m.record_id = r.{pk} AND m.digest = r.{digest}"
        f" LEFT JOIN {name(index.document_table)} d ON d.record_id = r.{pk}"
        f" WHERE r.{digest} IS NULL OR m.record_id IS NULL OR d.recipe IS DISTINCT FROM %s"
        " OR m.space_id IS DISTINCT FROM %s"
    )


def stale_pks(index: Declaration, using: str) -> list[Any]:
    """Primary keys of the enrolled records whose text is not embedded."""
    pk, digest = name(index.pk_column), name(index.digest_name)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT r.{pk} FROM {name(index.table)} r LEFT JOIN {name(index.manifest_table)} m"
            f" ON m.record_id = r.{pk} AND m.digest = r.{digest} WHERE r.{digest} IS NOT NULL AND m.record_id IS NULL"
        )
        return [row[0] for row in cursor.fetchall()]


def work_off(index: Declaration, using: str, batch_size: int) -> Iterator[int]:
    """Embed what waits, a batch a transaction, and yield the size of each batch.

    A batch is claimed with ``FOR UPDATE SKIP LOCKED`` on the queue alone: processes never take the same
    record, writers of the records are not held up while the model runs, and the claim of a killed process
    is gone with its connection.
    """
    while True:
        with transaction.atomic(using=using):
            batch = _claim(index, using, batch_size)
            error = _try_batch(index, batch, using)
        if not batch:
            return
        if error is None:
            yield len(batch)
        elif len(batch) == 1 or getattr(error, "retryable", False):
            _postpone(index, batch, error, using)
            if getattr(error, "retryable", False):
                raise error
        else:
            yield from _one_by_one(index, batch, using)


def _try_batch(index: Declaration, batch: list[Any], using: str) -> SearchError | None:
    try:
        with transaction.atomic(using=using):
            _renew(index, batch, using)
    except SearchError as error:
        return error
    return None


def _one_by_one(index: Declaration, batch: list[Any], using: str) -> Iterator[int]:
    """One record of the batch cannot be embedded: find it, so that it holds up no other."""
    for pk in batch:
        with transaction.atomic(using=using):
            error = _try_batch(index, [pk], using)
        if error is None:
            yield 1
        else:
            logger.warning("%s: record %s was not embedded: %s", index.label, pk, error)
            _postpone(index, [pk], error, using)


def _claim(index: Declaration, using: str, batch_size: int) -> list[Any]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT record_id FROM {name(index.pending_table)} WHERE not_before <= statement_timestamp()"
            " ORDER BY not_before LIMIT %s FOR UPDATE SKIP LOCKED",
            [batch_size],
        )
        return [row[0] for row in cursor.fetchall()]


def _postpone(index: Declaration, batch: list[Any], error: Exception, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {name(index.pending_table)} SET attempts = attempts + 1, error = %s, not_before ="
            f" statement_timestamp() + make_interval(secs => least({LONGEST_WAIT_S}, 2 ^ least(attempts + 1, 20)))"
            f" WHERE record_id = ANY(%s::{pk_type(index, using)}[])",
            [type(error).__name__, prepared_pks(index, batch, using)],
        )


def _renew(index: Declaration, pks: list[Any], using: str) -> None:
    """Embed the records under the present declaration, enrolling those that are not yet.

    The model is called first, while no record is locked.
    """
    with given(warm(index, _read(index, pks, using), using, patient=True)):
        _enrol(index, pks, using)
        embed(index, pks, using)
    _dismiss(index, pks, using)


def _read(index: Declaration, pks: list[Any], using: str) -> list[Document]:
    columns = ", ".join(f"{name(column)}::text" for column in index.columns(index.text_names))
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {name(index.table)}"
            f" WHERE {name(index.pk_column)} = ANY(%s::{pk_type(index, using)}[])",
            [prepared_pks(index, pks, using)],
        )
        return [Declaration.render(row) for row in cursor.fetchall()]


def _enrol(index: Declaration, pks: list[Any], using: str) -> None:
    """Have the triggers read these records again where they have not, or under an older declaration.

    Any other digest makes the trigger compute its own. Records that somebody is writing are left for later.
    """
    pk, digest = name(index.pk_column), name(index.digest_name)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config(%s, 'renew', true)", [f"lockstep.{index.slug}"])
        cursor.execute(
            f"WITH behind AS (SELECT r.{pk} AS pk FROM {name(index.table)} r"
            f" WHERE r.{pk} = ANY(%s::{pk_type(index, using)}[]) AND (r.{digest} IS NULL OR NOT EXISTS"
            f" (SELECT FROM {name(index.document_table)} d WHERE d.record_id = r.{pk} AND d.recipe = %s))"
            " FOR UPDATE SKIP LOCKED)"
            f" UPDATE {name(index.table)} r SET {digest} = gen_random_uuid() FROM behind WHERE r.{pk} = behind.pk",
            [prepared_pks(index, pks, using), index.recipe],
        )
        cursor.execute("SELECT set_config(%s, 'off', true)", [f"lockstep.{index.slug}"])
        cursor.execute(  # embedded, but in a space that was replaced
            f"DELETE FROM {name(index.manifest_table)} WHERE record_id = ANY(%s::{pk_type(index, using)}[])"
            " AND space_id IS DISTINCT FROM %s",
            [prepared_pks(index, pks, using), active(index, using).id],
        )


def _dismiss(index: Declaration, pks: list[Any], using: str) -> None:
    """Take out of the queue what is in step; look at the rest (somebody holds them) a second later."""
    pk, digest, pending = name(index.pk_column), name(index.digest_name), name(index.pending_table)
    mine = f"record_id = ANY(%s::{pk_type(index, using)}[])"
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {pending} p USING {name(index.table)} r, {name(index.manifest_table)} m"
            f" WHERE p.{mine} AND r.{pk} = p.record_id AND m.record_id = p.record_id AND m.digest = r.{digest}",
            [prepared_pks(index, pks, using)],
        )
        cursor.execute(
            f"UPDATE {pending} SET not_before = statement_timestamp() + interval '1 second' WHERE {mine}",
            [prepared_pks(index, pks, using)],
        )


def validate(index: Declaration, using: str) -> bool:
    """Have the database vouch for old records too, once all are embedded. No lock that blocks writes.

    Returns: whether the strict key is valid now.
    """
    if not index.strict:
        return True
    key = f"{index.slug}_embedded"
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT convalidated FROM pg_constraint WHERE conname = %s AND conrelid = to_regclass(%s)",
            [key, name(index.table)],
        )
        row = cursor.fetchone()
        if row is None or row[0]:
            return bool(row)
        cursor.execute(f"ALTER TABLE {name(index.table)} VALIDATE CONSTRAINT {name(key)}")
    return True
