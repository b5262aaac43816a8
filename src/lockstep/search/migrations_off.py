"""Tests that run with migrations switched off still need the extension and the functions, before tables."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.migrations.loader import MigrationLoader

from lockstep.search import ddl, sqlfunctions

__all__ = ["prepare"]


def prepare(*, using: str, **_: Any) -> None:
    """Create what migration 0001 and 0002 would have, where migrations of this app do not run."""
    connection = connections[using]
    if (
        connection.vendor != "postgresql"
        or MigrationLoader.migrations_module("lockstep_search")[0] is not None
    ):
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for statement in (ddl.DIGEST, *sqlfunctions.CREATE):
            cursor.execute(statement)
