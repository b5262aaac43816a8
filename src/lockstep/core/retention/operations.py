"""The migration operation that makes a table's rows expire."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models, router
from django.db.migrations.operations.base import Operation

from lockstep.core.exceptions import LockstepError

__all__ = ["Expiring", "RetentionError"]


class RetentionError(LockstepError, RuntimeError):
    """The table cannot be made to expire."""


class Expiring(Operation):
    """Partition a new table by the day of its expiry, and let nobody read what has expired.

    Stands right after the ``CreateModel``, and the migration depends on ``("lockstep_core", "0005_retention")``.
    Django goes on seeing the model's primary key; in the database the key is that and the time of expiry. So the model
    needs a key that is unique by itself (a UUID, no counter), and nothing can have a foreign key to it
    (``db_constraint=False``). Rows are written after ``lockstep_core_partition_v1(table, expires_at)``, which makes the
    partition of their day when it is missing.

    Reversing it leaves the table as it is: reversing ``CreateModel`` drops it.

    Args:
        model: name of the model, without its app.
        keep: usual lifetime of a row.
        most: longest lifetime that a row may be given; ``keep`` when left out. Both are kept up to date by ``migrate``
            from the ``retention`` registry and ``LOCKSTEP["retention"]["limits"]``.
        expires: field with the time after which nobody reads the row.
        begins: field that lifetimes are counted from.
        subject: field that names the person, for legal holds; "" for none.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(
        self,
        model: str,
        *,
        keep: timedelta,
        most: timedelta | None = None,
        expires: str = "expires_at",
        begins: str = "at",
        subject: str = "",
    ) -> None:
        self.model = model
        self.keep = keep
        self.most = most
        self.expires = expires
        self.begins = begins
        self.subject = subject

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        fields = ("keep", "most", "expires", "begins", "subject")
        return type(self).__qualname__, [self.model], {name: getattr(self, name) for name in fields}

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model)
        if self._is_ours(schema_editor, model):
            self.apply(schema_editor, model)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model)
        if self._is_ours(schema_editor, model):
            schema_editor.execute(
                f"DROP TRIGGER IF EXISTS lockstep_expiring ON {self._quoted(model._meta)}", params=None
            )
            schema_editor.execute(
                "DELETE FROM lockstep_core_expiringtable WHERE table_name = %s", [model._meta.db_table]
            )

    def describe(self) -> str:
        return f"Let rows of {self.model} expire"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model.lower()}_expires"

    def apply(self, schema_editor: Any, model: Any) -> None:
        """Do it on a table that exists and is empty. Once done, it only sees to the policies.

        Raises:
            RetentionError: the table has rows, or something else that cannot be partitioned.
        """
        meta = model._meta
        columns = {name: meta.get_field(name).column for name in (self.expires, self.begins)}
        subject = meta.get_field(self.subject).column if self.subject else ""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO lockstep_core_expiringtable (table_name, key_column, expires_column, begins_column,"
                " subject_column, keep, most, swept_by) VALUES (%s, %s, %s, %s, %s, %s, %s, '')"
                " ON CONFLICT (table_name) DO NOTHING",
                [meta.db_table, meta.pk.column, columns[self.expires], columns[self.begins], subject,
                 self.keep, self.most or self.keep],
            )  # fmt: skip
            cursor.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", [self._quoted(meta)])
            if cursor.fetchone()[0] != "p":
                self._check(cursor, model)
                for statement in self._partitioned(cursor, schema_editor, model):
                    cursor.execute(statement)
            arguments = ", ".join(
                schema_editor.quote_value(str(part)).replace("%", "%%")
                for part in (meta.db_table, columns[self.expires], columns[self.begins], meta.pk.column, subject,
                             self.keep, self.most or self.keep)
            )  # fmt: skip
            cursor.execute(
                f"CREATE OR REPLACE TRIGGER lockstep_expiring BEFORE UPDATE OR DELETE ON {self._quoted(meta)}"
                f" FOR EACH ROW EXECUTE FUNCTION lockstep_core_expiring_v1({arguments})"
            )
            cursor.execute(
                "SELECT lockstep_core_guard_v1(%s, relation) FROM (SELECT %s::regclass AS relation"
                " UNION ALL SELECT p.relation FROM lockstep_core_partitions_v1(%s) AS p) AS every",
                [meta.db_table, self._quoted(meta), meta.db_table],
            )
            cursor.execute("SELECT lockstep_core_swept_v1(%s)", [meta.db_table])
            cursor.execute(
                "UPDATE lockstep_core_expiringtable SET swept_at = NULL, swept_by = '' WHERE table_name = %s",
                [meta.db_table],
            )

    def _is_ours(self, schema_editor: Any, model: type[models.Model]) -> bool:
        connection = schema_editor.connection
        return connection.vendor == "postgresql" and bool(router.allow_migrate_model(connection.alias, model))

    @staticmethod
    def _quoted(meta: Any) -> str:
        return '"{}"'.format(meta.db_table.replace('"', '""'))

    def _check(self, cursor: Any, model: type[models.Model]) -> None:
        meta = model._meta
        cursor.execute(f"SELECT EXISTS (SELECT FROM {self._quoted(meta)})")
        if cursor.fetchone()[0]:
            raise RetentionError(
                f"{meta.label} has rows: only an empty table can be made to expire. Make a new model, and move them"
                " in a data migration.",
                model=meta.label,
            )
        if isinstance(meta.pk, models.AutoField):
            raise RetentionError(
                f"The key of {meta.label} is a counter, which partitions cannot share on PostgreSQL 16: use a"
                " UUIDField(primary_key=True).",
                model=meta.label,
            )

    def _partitioned(self, cursor: Any, schema_editor: Any, model: Any) -> list[str]:
        """What puts a partitioned table in the place of the plain one."""
        meta = model._meta
        quote = schema_editor.quote_name
        table, old = quote(meta.db_table), quote(f"{meta.db_table[:55]}_plain")
        expires, key = quote(meta.get_field(self.expires).column), quote(meta.pk.column)
        cursor.execute(
            "SELECT pg_get_indexdef(indexrelid), indisunique FROM pg_index WHERE indrelid = %s::regclass"
            " AND NOT indisprimary",
            [self._quoted(meta)],
        )
        indexes = cursor.fetchall()
        if any(unique for _, unique in indexes):
            raise RetentionError(
                f"{meta.label} has a unique constraint: in a partitioned table it could only hold within a day.",
                model=meta.label,
            )
        return [
            f"ALTER TABLE {table} RENAME TO {old}",
            f"CREATE TABLE {table} (LIKE {old} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE ({expires})",
            f"DROP TABLE {old}",
            f"ALTER TABLE {table} ADD PRIMARY KEY ({key}, {expires})",
            *(definition for definition, _ in indexes),
        ]
