"""Migration operations for projects, and the one that brings pgvector."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.db import DatabaseError
from django.db.migrations.operations.base import Operation
from pgvector.django import VectorExtension

__all__ = ["EmbedRecords", "PgVector"]


class PgVector(VectorExtension):  # type: ignore[misc]
    """``CREATE EXTENSION vector``, with the line for the database administrator where the role may not."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            return
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        except DatabaseError as error:
            from lockstep.search.exceptions import SearchError

            database = schema_editor.connection.settings_dict["NAME"]
            raise SearchError(
                f"pgvector cannot be installed by this role ({str(error).splitlines()[0]}). It is not a trusted"
                " extension: ask the database administrator to install the package (postgresql-NN-pgvector) and run,"
                f' connected to "{database}" as a superuser:  CREATE EXTENSION vector;'
            ) from error

    def database_backwards(self, *args: Any, **kwargs: Any) -> None:
        """Leave it: other tables of the project may use it."""


class EmbedRecords(Operation):
    """Bring the records of an indexed model in step, after a data migration that wrote their text.

    ``RunPython`` works on historical models, which have no hooks; in strict mode its commit would be
    refused. Put ``EmbedRecords("shop.Article")`` behind it in the same migration.
    """

    reduces_to_sql = False
    reversible = True
    atomic = False

    def __init__(self, model: str) -> None:
        self.model = model

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        from lockstep.search.declaration import indexes_of
        from lockstep.search.queue import stale_pks

        using = schema_editor.connection.alias
        for index in indexes_of(installed.get_model(self.model)):
            index.embed(stale_pks(index, using), using=using)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Embed the records of {self.model} whose text changed"
