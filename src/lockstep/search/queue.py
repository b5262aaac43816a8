"""The queue of records that wait for an embedding, worked off by any number of processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    models,
    transaction,
)

from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration
from lockstep.search.exceptions import EmbedderMisconfigured, WrongDimensions
from lockstep.search.settle import embed, pk_type, prepared_pks, warm, write
from lockstep.search.spaces import active
from lockstep.search.vectors import given
from lockstep.search.writes import context_of_many

if TYPE_CHECKING:
    from lockstep.search.declaration import Document

__all__ = ["Backlog", "backlog", "clock", "enqueue", "stale_pks", "untried", "validate", "work_off"]

logger = logging.getLogger("lockstep.search")

#: A record that failed waits 2, 4, 8 … seconds, at most this many.
LONGEST_WAIT_S = 600
#: Records that one process claims at most: each takes a place in Postgres' table of locks.
MOST_CLAIMS = 1000
#: Records that are written in one transaction: their rows are locked meanwhile.
STORED = 16
#: Records that are queued in one statement.
ENQUEUED = 2000


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


def enqueue(index: Declaration, using: str, *, verify: bool = False) -> int:
    """Queue every record that is not enrolled, not embedded, or was read under an older declaration.

    It goes through the table a few thousand keys at a time, so that no lock is held for long.

    Args:
        verify: read every text again too, and queue what was written while the triggers were off.

    Returns: how many were added.
    """
    count, last, size = 0, None, ENQUEUED
    while True:
        values = {"last": last, "recipe": index.recipe, "space": active(index, using).id, "size": size}
        try:
            with connections[using].cursor() as cursor:
                cursor.execute(_enqueue_statement(index, using, verify), values)
                added, last = cursor.fetchone()
        except IntegrityError:
            # A record was deleted while we looked. Locking them would miss those that somebody is writing.
            if size == 1 or connections[using].in_atomic_block:
                raise
            size = max(1, size // 4)
            continue
        size = min(ENQUEUED, size * 2)
        count += int(added)
        if last is None:
            return count


def _enqueue_statement(index: Declaration, using: str, verify: bool) -> str:
    pk, digest, kind = name(index.pk_column), name(index.digest_name), pk_type(index, using)
    texts = ", ".join(f"r.{name(column)}::text" for column in index.columns(index.text_names))
    forged = f" OR r.{digest} <> lockstep_digest_v1(ARRAY[{texts}])" if verify else ""
    return (
        f"WITH part AS (SELECT * FROM {name(index.table)} r WHERE %(last)s::{kind} IS NULL"
        f" OR r.{pk} > %(last)s::{kind} ORDER BY r.{pk} LIMIT %(size)s),"
        f" put AS (INSERT INTO {name(index.pending_table)} (record_id) SELECT r.{pk} FROM part r"
        f" LEFT JOIN {name(index.manifest_table)} m ON m.record_id = r.{pk} AND m.digest = r.{digest}"
        f" LEFT JOIN {name(index.document_table)} d ON d.record_id = r.{pk}"
        f" WHERE r.{digest} IS NULL OR m.record_id IS NULL OR d.recipe IS DISTINCT FROM %(recipe)s"
        f" OR m.space_id IS DISTINCT FROM %(space)s{forged}"
        " ON CONFLICT (record_id) DO NOTHING RETURNING 1)"
        f" SELECT (SELECT count(*) FROM put), (SELECT {pk} FROM part ORDER BY {pk} DESC LIMIT 1)"
    )


def clock(using: str) -> datetime:
    """The time by the clock of the database."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def untried(index: Declaration, using: str, since: datetime) -> int:
    """How many records wait that were queued by then and did not fail: another process has them."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {name(index.pending_table)} WHERE attempts = 0 AND queued_at <= %s",
            [since],
        )
        return int(cursor.fetchone()[0])


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
    """Embed what waits, a batch at a time, and yield how many of each batch are in step.

    Returns when nothing is due that no other process has claimed.

    Raises:
        EmbedderError: the model is down or overloaded. The batch goes back into the queue and waits.
    """
    while True:
        with _claimed(index, using, batch_size) as batch:
            if not batch:
                return
            done, failed = _process(index, batch, using)
        if done:
            yield done
        for error in failed.values():
            if _concerns_all(error):
                raise error


@contextmanager
def _claimed(index: Declaration, using: str, size: int) -> Iterator[list[Any]]:
    """Records of the queue that are ours for the block. Processes never claim the same one.

    A claim is an advisory lock: no row is locked and no transaction is open while the model runs, so nobody
    is held up, and the claim of a killed process is gone with its connection. Behind a pooler that hands
    connections round (``DISABLE_SERVER_SIDE_CURSORS`` says so) claims belong to a transaction instead.
    """
    connection = connections[using]
    pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
    with transaction.atomic(using=using) if pooled else nullcontext():
        batch = _claim(index, using, size, "pg_try_advisory_xact_lock" if pooled else "pg_try_advisory_lock")
        try:
            yield batch
        finally:
            if not pooled and connection.connection and not connection.connection.closed:
                _release(index, batch, using)


def _claim(index: Declaration, using: str, size: int, lock: str) -> list[Any]:
    # OFFSET 0 keeps the advisory lock out of the inner query: no more are taken than LIMIT lets through.
    # FOR SHARE passes over records that somebody is marking stale at this moment.
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT record_id FROM (SELECT record_id FROM {name(index.pending_table)}"
            " WHERE not_before <= statement_timestamp() ORDER BY not_before OFFSET 0 FOR SHARE SKIP LOCKED) due"
            f" WHERE {lock}(%s, hashtext(record_id::text)) LIMIT %s",
            [_lock_class(index), min(size, MOST_CLAIMS)],
        )
        return [row[0] for row in cursor.fetchall()]


def _release(index: Declaration, batch: list[Any], using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_unlock(%s, hashtext(pk::text))"
            f" FROM unnest(%s::{pk_type(index, using)}[]) AS claimed (pk)",
            [_lock_class(index), prepared_pks(index, batch, using)],
        )


def _lock_class(index: Declaration) -> int:
    """The half of an advisory lock's key that stands for the index: a signed 32-bit number."""
    number = int(index.slug.removeprefix("ls_"), 16)
    return number - 2**32 if number >= 2**31 else number


def _concerns_all(error: Exception) -> bool:
    """Whether the embedder is at fault, not a text: down, overloaded, misconfigured or locked."""
    return (
        getattr(error, "retryable", False)
        or getattr(error, "status", None) in (401, 403, 404)
        or isinstance(error, EmbedderMisconfigured | WrongDimensions)
    )


def _process(index: Declaration, batch: list[Any], using: str) -> tuple[int, dict[Any, Exception]]:
    """Embed a batch. Returns: how many are in step now, and what failed with its error."""
    active(index, using)  # raises where nothing could be embedded at all
    contexts, failed = context_of_many(index, _records(index, batch, using))
    documents = _read(index, [pk for pk in batch if pk not in failed], contexts, using)
    vectors, worse = _embed(index, documents, using)
    failed |= worse
    good = {pk: document for pk, document in documents.items() if pk not in failed}
    done: set[Any] = set()
    with given(vectors):
        for part in _parts(good):
            more, worse = _store(index, part, contexts, using)
            done |= more
            failed |= worse
    for error in dict.fromkeys(failed.values()):
        pks = [pk for pk, own in failed.items() if own is error]
        logger.warning("%s: %d not embedded (%s …): %s", index.label, len(pks), pks[0], error)
        _postpone(index, pks, error, using)
    _look_again(index, [pk for pk in good if pk not in done and pk not in failed], using)
    return len(done), failed


def _records(index: Declaration, pks: list[Any], using: str) -> list[models.Model]:
    """Instances to draw the context from; none where there is no context."""
    if not index.context:
        return []
    return list(index.model._base_manager.using(using).filter(pk__in=pks))


def _read(index: Declaration, pks: list[Any], contexts: Mapping[Any, str], using: str) -> dict[Any, Document]:
    """What those records that still wait will say."""
    columns = ", ".join(f"r.{name(column)}::text" for column in index.columns(index.text))
    pk = name(index.pk_column)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT r.{pk}, {columns} FROM {name(index.table)} r"
            f" JOIN {name(index.pending_table)} p ON p.record_id = r.{pk}"
            f" WHERE r.{pk} = ANY(%s::{pk_type(index, using)}[])",
            [prepared_pks(index, pks, using)],
        )
        rows = cursor.fetchall()
    own = [contexts] if index.context else []
    return {
        row[0]: Declaration.render([*row[1:], *(found[row[0]] for found in own)])
        for row in rows
        if all(row[0] in found for found in own)
    }


def _embed(
    index: Declaration, documents: dict[Any, Document], using: str
) -> tuple[dict[tuple[str, Any], bytes], dict[Any, Exception]]:
    """Vectors of these documents. One that cannot be embedded is found by halving: it holds up no other."""
    try:
        return warm(index, documents.values(), using, patient=True), {}
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # whatever a backend or a strange text comes up with
        if len(documents) <= 1 or _concerns_all(error):
            return {}, dict.fromkeys(documents, error)
        vectors: dict[tuple[str, Any], bytes] = {}
        failed: dict[Any, Exception] = {}
        for half in _halves(documents):
            more, worse = _embed(index, half, using)
            vectors |= more
            failed |= worse
        return vectors, failed


def _parts(documents: dict[Any, Document]) -> Iterator[dict[Any, Document]]:
    rest = iter(documents.items())
    while part := dict(islice(rest, STORED)):
        yield part


def _halves(documents: dict[Any, Document]) -> Iterator[dict[Any, Document]]:
    items = list(documents.items())
    middle = len(items) // 2
    yield dict(items[:middle])
    yield dict(items[middle:])


def _store(
    index: Declaration, documents: dict[Any, Document], contexts: Mapping[Any, str], using: str
) -> tuple[set[Any], dict[Any, Exception]]:
    """Write what was embedded; the same halving for a record that the database refuses."""
    if not documents:
        return set(), {}
    try:
        with transaction.atomic(using=using):
            enrolled = _enrol(index, documents, contexts, using)
            written = write(index, documents, using)
            # A trigger of the project changed the text while we enrolled it.
            embed(index, enrolled - written, using)
            return written | enrolled, {}
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        if len(documents) == 1:
            return set(), dict.fromkeys(documents, error)
        done: set[Any] = set()
        failed: dict[Any, Exception] = {}
        for half in _halves(documents):
            more, worse = _store(index, half, contexts, using)
            done |= more
            failed |= worse
        return done, failed


def _enrol(
    index: Declaration, documents: Mapping[Any, Document], contexts: Mapping[Any, str], using: str
) -> set[Any]:
    """Have the triggers read these records again where they have not, or under an older declaration.

    Any other digest makes the trigger compute its own. Left for later: records that somebody is writing, and
    those whose text is no longer the one that was embedded.

    Returns: primary keys of the records that were read again.
    """
    pk, digest, context = name(index.pk_column), name(index.digest_name), name(index.context_name)
    texts = ", ".join(f"r.{name(column)}::text" for column in index.columns(index.text))
    put = f", {context} = behind.context" if index.context else ""
    moved = f" OR r.{context} <> seen.context" if index.context else ""
    last = ", seen.context" if index.context else ""
    pks = list(documents)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config(%s, 'renew', true)", [f"lockstep.{index.slug}"])
        cursor.execute(
            f"WITH behind AS (SELECT r.{pk} AS pk, seen.context FROM {name(index.table)} r"
            f" JOIN unnest(%s::{pk_type(index, using)}[], %s::uuid[], %s::text[]) AS seen (pk, digest, context)"
            f" ON r.{pk} = seen.pk AND lockstep_digest_v1(ARRAY[{texts}{last}]) = seen.digest"
            f" WHERE r.{digest} IS DISTINCT FROM seen.digest{moved} OR NOT EXISTS"
            f" (SELECT FROM {name(index.document_table)} d WHERE d.record_id = r.{pk} AND d.recipe = %s)"
            f" ORDER BY r.{pk} FOR UPDATE OF r SKIP LOCKED)"
            f" UPDATE {name(index.table)} r SET {digest} = gen_random_uuid(){put} FROM behind"
            f" WHERE r.{pk} = behind.pk RETURNING r.{pk}",
            [
                prepared_pks(index, pks, using),
                [documents[pk].digest for pk in pks],
                [contexts.get(pk) for pk in pks],
                index.recipe,
            ],
        )
        enrolled = {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT set_config(%s, 'off', true)", [f"lockstep.{index.slug}"])
        return enrolled


def _postpone(index: Declaration, pks: list[Any], error: Exception, using: str) -> None:
    """Try these records again in 2, 4, 8 … seconds, or when the provider said."""
    wait = f"greatest(%s, least({LONGEST_WAIT_S}, 2 ^ least(attempts + 1, 20)))"
    _delay(index, pks, f"attempts = attempts + 1, error = %s, {_NOT_BEFORE} make_interval(secs => {wait})",
           [type(error).__name__, getattr(error, "retry_after_s", None) or 0], using)  # fmt: skip


def _look_again(index: Declaration, pks: list[Any], using: str) -> None:
    """Somebody is writing these records: see in a second."""
    _delay(index, pks, f"{_NOT_BEFORE} interval '1 second'", [], using)


_NOT_BEFORE = "not_before = statement_timestamp() +"


def _delay(index: Declaration, pks: list[Any], change: str, values: list[Any], using: str) -> None:
    """Change queue entries, never waiting for who is marking a record stale at this moment."""
    pending = name(index.pending_table)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {pending} SET {change} WHERE record_id IN (SELECT record_id FROM {pending}"
            f" WHERE record_id = ANY(%s::{pk_type(index, using)}[]) FOR UPDATE SKIP LOCKED)",
            [*values, prepared_pks(index, pks, using)],
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
