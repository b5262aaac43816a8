"""Says of every record whether what stands beside it is of its present text. Judges from outside: it reads
one snapshot and computes everything anew, without asking the code under test what it thinks it wrote."""

from __future__ import annotations

import json
import struct
from typing import Any

from django.db import connections, models

from lockstep.search.chunking import chunk
from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration, indexes_of, text_digest, text_key
from lockstep.search.embedders.hashing import Hashing
from lockstep.search.spaces import space_key

__all__ = ["attached", "in_step", "problems"]


def in_step(*kinds: type[models.Model], waiting: bool = False) -> bool:
    """Assert that these models are in step, and say what is not."""
    found = [problem for model in kinds for problem in problems(model, waiting=waiting)]
    assert found == []
    return True


def problems(model: type[models.Model], *, using: str = "default", waiting: bool = False) -> list[str]:
    """What is wrong with the records of a model, in words.

    Args:
        waiting: records without an embedding are fine when they stand in the queue.
    """
    return [text for index in indexes_of(model) for text in _problems(index, using, waiting)]


def attached(index: Declaration, using: str = "default") -> int:
    """How many vectors may be found by a search."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {name(index.chunk_table)} WHERE digest IS NOT NULL")
        return int(cursor.fetchone()[0])


def _problems(index: Declaration, using: str, waiting: bool) -> list[str]:
    found: list[str] = []
    for row in _snapshot(index, using):
        pk, texts = row["pk"], row["texts"]
        label = f"{index.label} {pk}"
        if row["digest"] is None:
            found.append(f"{label} is not enrolled")
            continue
        if row["digest"] != text_digest(texts):
            found.append(f"{label}: the digest is not of the text")
        if not row["words"]:
            found.append(f"{label}: words are not of the text")
        if row["manifest"] != row["digest"]:
            if row["manifest"] is not None:
                found.append(f"{label}: the manifest is of another text")
            if not (waiting and row["waits"]):
                found.append(f"{label} is not embedded")
            if any(piece["digest"] for piece in row["chunks"]):
                found.append(f"{label}: a stale vector can be found")
        else:
            found += _chunk_problems(index, label, texts, row)
    return found + _leftovers(index, using)


def _chunk_problems(index: Declaration, label: str, texts: list[Any], row: dict[str, Any]) -> list[str]:
    text = Declaration.render(texts).text
    wanted = [
        (piece.no, text_key(text[piece.start : piece.end])) for piece in chunk(text, embedder=index.embedder)
    ]
    mine = [piece for piece in row["chunks"] if piece["digest"]]
    if sorted((piece["no"], piece["text_key"]) for piece in mine) != [(no, str(key)) for no, key in wanted]:
        return [f"{label}: the vectors are not of the chunks of its text"]
    if row["count"] != len(wanted):
        return [f"{label}: the manifest counts {row['count']} chunks of {len(wanted)}"]
    made = Hashing(dimensions=index.embedder.dimensions).embed_documents(
        [text[p["start"] : p["end"]] for p in mine]
    )
    halves = [struct.unpack(f"<{len(v)}e", struct.pack(f"<{len(v)}e", *v)) for v in made]
    for piece, half in zip(mine, halves, strict=True):
        kept = [float(part) for part in piece["embedding"].strip("[]").split(",")]
        if max(abs(a - b) for a, b in zip(kept, half, strict=True)) > 1e-3:
            return [f"{label}: a vector is not of its text"]
    return []


def _snapshot(index: Declaration, using: str) -> list[dict[str, Any]]:
    """Records with everything beside them, in one statement."""
    texts = ", ".join(f"r.{name(column)}::text" for column in index.columns(index.text_names))
    weights = ", ".join(f"'{weight}'" for weight in [*index.text.values(), *(["B"] if index.context else [])])
    pk, digest = name(index.pk_column), name(index.digest_name)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT r.{pk} AS pk, r.{digest} AS digest, ARRAY[{texts}] AS texts, m.digest AS manifest,
                   m.chunks AS count, p.record_id IS NOT NULL AS waits,
                   d.tsv = lockstep_tsv_v1('{index.config}', ARRAY[{texts}], ARRAY[{weights}]) AS words,
                   (SELECT coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('embedding', c.embedding::text)), '[]')
                    FROM {name(_vectors(index, using))} c WHERE c.record_id = r.{pk}) AS chunks
            FROM {name(index.table)} r
            LEFT JOIN {name(index.manifest_table)} m ON m.record_id = r.{pk}
            LEFT JOIN {name(index.document_table)} d ON d.record_id = r.{pk}
            LEFT JOIN {name(index.pending_table)} p ON p.record_id = r.{pk}
            """
        )
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [row | {"chunks": json.loads(row["chunks"])} for row in rows]


def _vectors(index: Declaration, using: str) -> str:
    """The vector table of the model that the settings name."""
    return f"{index.chunk_table}_{space_key(index.embedder)}"


def _leftovers(index: Declaration, using: str) -> list[str]:
    """Rows beside a record that is gone."""
    found = []
    with connections[using].cursor() as cursor:
        for table in (index.document_table, index.manifest_table, index.pending_table, index.chunk_table):
            cursor.execute(
                f"SELECT count(*) FROM {name(table)} s WHERE NOT EXISTS"
                f" (SELECT FROM {name(index.table)} r WHERE r.{name(index.pk_column)} = s.record_id)"
            )
            if cursor.fetchone()[0]:
                found.append(f"{table} has rows of records that are gone")
    return found
