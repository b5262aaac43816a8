"""Word statistics: in how many records each lexeme stands, counted by Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, transaction

from lockstep.search.ddl import literal, name
from lockstep.search.models import LexemeStat

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration

__all__ = ["documents", "refresh"]

#: Lexemes in fewer records than this are not kept: a lexeme without a row counts as rare anyway.
RARE = 2


def refresh(index: Declaration, using: str) -> int:
    """Count anew, reading every document once. Searches meanwhile use the old figures.

    Returns: how many records were counted.
    """
    table = name(LexemeStat._meta.db_table)
    source = literal(f"SELECT tsv FROM {name(index.document_table)}")
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"{index.label} statistics"])
        cursor.execute(f"DELETE FROM {table} WHERE index = %s", [index.label])
        cursor.execute(
            f"INSERT INTO {table} (index, lexeme, df) SELECT %s, word, ndoc FROM ts_stat({source})"
            " WHERE ndoc >= %s AND word <> ''",
            [index.label, RARE],
        )
        cursor.execute(
            f"INSERT INTO {table} (index, lexeme, df) SELECT %s, '', count(*) FROM {name(index.document_table)}"
            " RETURNING df",
            [index.label],
        )
        return int(cursor.fetchone()[0])


def documents(index: Declaration, using: str) -> int | None:
    """How many records the statistics counted; None when nobody has counted."""
    row = LexemeStat.objects.using(using).filter(index=index.label, lexeme="").first()
    return row.df if row else None
