"""Write the manifest and the vectors of records, in the transaction that changed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db import connections, router

from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration
from lockstep.search.spaces import active
from lockstep.search.vectors import Split, literal, obtain, split

if TYPE_CHECKING:
    from lockstep.search.declaration import Document
    from lockstep.search.spaces import SpaceInfo

__all__ = ["embed", "pk_type", "prepared_pks", "read_stale", "settle", "warm", "write"]

#: Records in one statement, and passages: each comes with its vector.
SLICE = 200
PASSAGES = 2000
#: Documents whose texts are held at once: they go to the embedder in one call.
WARM = 5000
#: A text that changes under us is read again this often; then the database has the last word.
ROUNDS = 3


def warm(
    index: Declaration, documents: Iterable[Document], using: str, *, patient: bool = False
) -> dict[tuple[str, Any], bytes]:
    """Get the vectors of documents without writing anything, before a transaction opens.

    Args:
        patient: wait ``write_timeout_s`` even though a transaction is open (it holds no record).
    """
    space = active(index, using)
    vectors: dict[tuple[str, Any], bytes] = {}
    rest = iter(documents)
    while part := list(islice(rest, WARM)):
        texts: dict[Any, str] = {}
        for document in part:
            texts |= split(index, document).texts
        made = obtain(index, space, texts, using, patient)
        vectors |= {(space.key, key): vector for key, vector in made.items()}
    return vectors


def settle(index: Declaration, documents: Mapping[Any, Document], using: str) -> None:
    """Embed freshly written records, given what Python believes their text to be.

    A record whose text is another (a trigger of the project changed it, somebody was faster) is read
    from the database and embedded from there.
    """
    pks = list(documents)
    for start in range(0, len(pks), SLICE):
        part = {pk: documents[pk] for pk in pks[start : start + SLICE]}
        done = write(index, part, using)
        embed(index, [pk for pk in part if pk not in done], using)


def embed(index: Declaration, pks: Iterable[Any], using: str | None = None) -> int:
    """Embed these records from their text in the database; those in step already cost one probe.

    Returns: how many were embedded.
    """
    using = using or router.db_for_write(index.model)
    count, rest = 0, iter(pks)
    while part := list(islice(rest, SLICE)):
        for _ in range(ROUNDS):
            stale = read_stale(index, part, using)
            if not stale:
                break
            count += len(write(index, stale, using))
    return count


def read_stale(index: Declaration, pks: Sequence[Any], using: str) -> dict[Any, Document]:
    """The documents of those records that are enrolled and whose present text is not embedded."""
    columns = ", ".join(f"r.{name(column)}::text" for column in index.columns(index.text_names))
    pk, digest = name(index.pk_column), name(index.digest_name)
    sql = (
        f"SELECT r.{pk}, r.{digest}, {columns} FROM {name(index.table)} r"
        f" LEFT JOIN {name(index.manifest_table)} m ON m.record_id = r.{pk} AND m.digest = r.{digest}"
        f" WHERE r.{pk} = ANY(%s::{pk_type(index, using)}[]) AND r.{digest} IS NOT NULL AND m.record_id IS NULL"
    )
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [prepared_pks(index, pks, using)])
        return {row[0]: Declaration.render(row[2:], digest=row[1]) for row in cursor.fetchall()}


def write(index: Declaration, documents: Mapping[Any, Document], using: str) -> set[Any]:
    """One statement: manifest, old vectors out, new vectors in, queue entry away.

    The join to the record's digest is the optimistic check: only records whose text is still the one that
    was embedded take part.

    Returns: primary keys of the records that are in step now.
    """
    space, done = active(index, using), set()
    for splits in _portions((pk, split(index, document)) for pk, document in documents.items()):
        texts = {key: text for cut in splits.values() for key, text in cut.texts.items()}
        packed = obtain(index, space, texts, using)
        with connections[using].cursor() as cursor:
            cursor.execute(_statement(index, space, using), _arrays(index, documents, splits, packed, using))
            done |= {row[0] for row in cursor.fetchall()}
    return done


def _portions(splits: Iterable[tuple[Any, Split]]) -> Iterator[dict[Any, Split]]:
    """Long documents go a few at a time."""
    portion: dict[Any, Split] = {}
    size = 0
    for pk, cut in splits:
        if portion and size + len(cut.passages) > PASSAGES:
            yield portion
            portion, size = {}, 0
        portion[pk] = cut
        size += len(cut.passages)
    if portion:
        yield portion


def _statement(index: Declaration, space: SpaceInfo, using: str) -> str:
    key = pk_type(index, using)
    record, pk, digest = name(index.table), name(index.pk_column), name(index.digest_name)
    manifest, vectors_table = name(index.manifest_table), name(space.table)
    return f"""
WITH input AS (
  SELECT * FROM unnest(%s::{key}[], %s::uuid[], %s::int[], %s::boolean[]) AS i (record_id, digest, chunks, truncated)
), present AS (
  SELECT i.* FROM {record} r JOIN input i ON i.record_id = r.{pk} AND i.digest = r.{digest}
  ORDER BY record_id  -- everybody in the same order: no deadlock
  FOR KEY SHARE OF r SKIP LOCKED  -- who writes the text at this moment will settle it
), put AS (
  INSERT INTO {manifest} AS m (record_id, digest, chunks, truncated, space_id)
  SELECT record_id, digest, chunks, truncated, {int(space.id)} FROM present
  ON CONFLICT (record_id) DO UPDATE SET digest = excluded.digest, chunks = excluded.chunks,
    truncated = excluded.truncated, space_id = excluded.space_id, embedded_at = statement_timestamp()
    WHERE m.digest <> excluded.digest OR m.space_id IS DISTINCT FROM excluded.space_id
  RETURNING record_id, digest
), old AS (
  DELETE FROM {vectors_table} c USING put WHERE c.record_id = put.record_id
), waited AS (
  DELETE FROM {name(index.pending_table)} p USING present WHERE p.record_id = present.record_id
), new AS (
  INSERT INTO {vectors_table} (record_id, digest, no, start, "end", text_key, embedding)
  SELECT put.record_id, put.digest, v.no, v.start, v.stop, v.key, v.embedding::halfvec
  FROM unnest(%s::{key}[], %s::int[], %s::int[], %s::int[], %s::uuid[], %s::text[])
    AS v (record_id, no, start, stop, key, embedding)
  JOIN put ON put.record_id = v.record_id
)
SELECT record_id FROM present"""


def _arrays(
    index: Declaration,
    documents: Mapping[Any, Document],
    splits: Mapping[Any, Split],
    packed: Mapping[Any, bytes],
    using: str,
) -> list[list[Any]]:
    pks = list(splits)
    prepared = dict(zip(pks, prepared_pks(index, pks, using), strict=True))
    literals = {key: literal(vector) for key, vector in packed.items()}
    passages = [
        (prepared[pk], p.no, p.start, p.end, p.key, literals[p.key])
        for pk in pks
        for p in splits[pk].passages
    ]
    columns = [list(column) for column in zip(*passages, strict=True)] or [[] for _ in range(6)]
    return [
        list(prepared.values()),
        [documents[pk].digest for pk in pks],
        [len(splits[pk].passages) for pk in pks],
        [splits[pk].truncated for pk in pks],
        *columns,
    ]


def pk_type(index: Declaration, using: str) -> str:
    """The column type of the record's primary key, for casts."""
    kind = index.model._meta.pk.rel_db_type(connections[using])
    assert kind is not None
    return kind


def prepared_pks(index: Declaration, pks: Iterable[Any], using: str) -> list[Any]:
    field = index.model._meta.pk
    return [field.get_db_prep_value(pk, connections[using]) for pk in pks]
