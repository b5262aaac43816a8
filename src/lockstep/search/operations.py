"""Migration operations for projects, and the one that brings pgvector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.postgres.operations import NotInTransactionMixin
from django.db import DatabaseError, models, router
from django.db.backends.utils import truncate_name
from django.db.migrations.operations.base import Operation
from pgvector.django import VectorExtension

from lockstep.search.constraints import InStep
from lockstep.search.declaration import Declaration, all_indexes

__all__ = ["EmbedRecords", "PgVector", "UniqueDigest"]


class PgVector(VectorExtension):
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
    refused. Put ``EmbedRecords("shop.Article")`` behind it in the same migration, and another in front where
    it can be reversed: operations are undone in reverse order.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(self, model: str) -> None:
        self.model = model

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        from lockstep.search import queue, settle, spaces

        using = schema_editor.connection.alias
        model = to_state.apps.get_model(self.model)
        if schema_editor.connection.vendor == "postgresql" and router.allow_migrate_model(using, model):
            for index in _indexes_at(to_state.apps, model):
                spaces.ensure(index, using)  # a row of ours may be left from before a migration to zero
                settle.embed(index, queue.stale_pks(index, using), using)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Embed the records of {self.model} whose text changed"


class UniqueDigest(NotInTransactionMixin, Operation):
    """Build the unique index over key and digest without locking a big table.

    Adding a SearchIndex builds it with the table locked: about a second for a million rows. For more, cut the
    migration that ``makemigrations`` wrote in three: the AddField of the digest; a migration of its own,
    ``atomic = False``, with ``UniqueDigest("shop.Article")``; then the rest, which finds the index there.

    Args:
        model: ``app.Model``.
        index: name of the SearchIndex.
    """

    reversible = True

    def __init__(self, model: str, index: str = "search") -> None:
        self.model = model
        self.index = index

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._ensure_not_in_transaction(schema_editor)
        meta = to_state.apps.get_model(self.model)._meta
        connection = schema_editor.connection
        if connection.vendor != "postgresql" or not router.allow_migrate(connection.alias, app_label):
            return
        table, key, digest = map(
            schema_editor.quote_name, (meta.db_table, meta.pk.column, f"{self.index}_digest")
        )
        name = schema_editor.quote_name(truncate_name(f"{meta.db_table}_{self.index}_digest", 63))
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # one that was not finished
        schema_editor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({key}, {digest})")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """It goes with the column."""

    def describe(self) -> str:
        return f"Build the unique index of {self.model}.{self.index} without a lock"


def _indexes_at(apps: Any, model: type[models.Model]) -> Iterator[Declaration]:
    """The indexes of a model as they were at a point of its migrations: the columns of today may not exist yet."""
    for sibling in apps.get_app_config(model._meta.app_label).get_models():
        for constraint in sibling._meta.constraints:
            if isinstance(constraint, InStep) and constraint.record == model._meta.db_table:
                yield _Past(model, constraint)


class _Past(Declaration):
    """An index read back from its constraint: enough of it to embed."""

    def __init__(self, model: type[models.Model], constraint: InStep) -> None:
        by_column = {field.column: field.name for field in model._meta.concrete_fields}
        today = {index.label.lower(): index.embedder_alias for index in all_indexes()}
        super().__init__(
            text={by_column[column]: weight for column, weight in constraint.text},
            mode="strict" if constraint.strict else "deferred",
            config=constraint.config,
            context=(lambda record: "") if constraint.context else None,
            embedder=today.get(constraint.label.lower(), "default"),
        )
        self.model = model
        self.attname = by_column[constraint.digest].removesuffix("_digest")
