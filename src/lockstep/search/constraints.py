"""One constraint in the chunk model's Meta carries all the DDL of an index across its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.backends.ddl_references import Statement, Table

from lockstep.search import ddl

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

    from lockstep.search.declaration import Declaration

__all__ = ["KINDS", "InStep"]

#: The tables beside a record, in the order of ``InStep.tables``.
KINDS = ("document", "manifest", "pending", "chunk")


class InStep(models.BaseConstraint):
    """Text and embedding of a record commit together.

    It names columns and tables, not fields: its SQL then stays right while a migration renames them, in
    both directions. The statements wait in ``schema_editor.deferred_sql`` for the end of the migration,
    because the autodetector may create the siblings before it adds the record's columns.
    """

    def __init__(
        self,
        *,
        name: str,
        label: str,
        record: str,
        pk: str,
        pk_kind: str,
        digest: str,
        context: str | None,
        tables: list[str] | tuple[str, ...],
        text: Any,
        identifiers: Any,
        config: str,
        strict: bool,
    ) -> None:
        super().__init__(name=name)
        self.label = label
        self.record = record
        self.pk = pk
        self.pk_kind = (
            pk_kind  # Django drops foreign keys when it alters a key's type: then we are asked again
        )
        self.digest = digest
        self.context = context
        self.tables = tuple(tables)
        self.text = tuple(tuple(pair) for pair in text)
        self.identifiers = tuple(tuple(pair) for pair in identifiers)
        self.config = config
        self.strict = strict

    @classmethod
    def of(cls, index: Declaration) -> InStep:
        meta = index.model._meta
        identifiers = [meta.get_field(name) for name in index.identifiers]
        return cls(
            name=index.slug,
            label=index.label,
            record=index.table,
            pk=index.pk_column,
            pk_kind=meta.pk.get_internal_type(),
            digest=index.columns([index.digest_name])[0],
            context=index.columns([index.context_name])[0] if index.context else None,
            tables=[index.sibling_table(kind) for kind in KINDS],
            text=list(zip(index.columns(index.text), index.text.values(), strict=True)),
            identifiers=[(field.column, isinstance(field, ArrayField)) for field in identifiers],  # type: ignore[union-attr]
            config=index.config,
            strict=index.strict,
        )

    @property
    def shape(self) -> ddl.Shape:
        return ddl.Shape(
            slug=self.name,
            label=self.label,
            record=self.record,
            pk=self.pk,
            digest=self.digest,
            context=self.context,
            text=self.text,
            identifiers=self.identifiers,
            config=self.config,
            strict=self.strict,
            recipe=self.recipe,
        )

    @property
    def recipe(self) -> str:
        """Changes when records must be read again: other fields, weights, identifiers or configuration."""
        return ddl.recipe([self.text, self.context, self.identifiers, self.config])

    def create_sql(  # type: ignore[override]
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> None:
        """Queue the statements for the end of the migration."""
        assert schema_editor is not None
        if schema_editor.connection.vendor != "postgresql":
            return
        tables = {"record": self.record} | dict(zip(KINDS, self.tables, strict=True))
        quote = schema_editor.quote_name
        for template in ddl.create(self.shape):
            parts = {key: Table(table, quote) for key, table in tables.items() if f"%({key})s" in template}
            schema_editor.deferred_sql.append(Statement(template, **parts))

    constraint_sql = create_sql  # type: ignore[assignment]

    def remove_sql(  # type: ignore[override]
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> None:
        assert schema_editor is not None
        if schema_editor.connection.vendor == "postgresql":
            for statement in ddl.drop(self.name):
                schema_editor.execute(statement.replace("%%", "%"), None)

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to ask before a save: the database answers at commit."""

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        kwargs.pop("violation_error_message", None)
        names = (
            "label",
            "record",
            "pk",
            "pk_kind",
            "digest",
            "context",
            "tables",
            "text",
            "identifiers",
            "config",
            "strict",
        )
        return path, args, kwargs | {key: getattr(self, key) for key in names}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, InStep):
            return bool(self.deconstruct() == other.deconstruct())
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.label, self.text, self.identifiers, self.strict))
