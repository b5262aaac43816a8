"""The four tables that stand beside an indexed record. They are models, so that migrations own them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from lockstep.search.constraints import InStep
from lockstep.search.fields import LexemesField

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration

__all__ = ["Derived", "Siblings"]


class Derived(models.Model):
    """A row that triggers and the write hooks make from its record; fixtures cannot bring one."""

    class Meta:
        abstract = True

    def _save_table(self, raw: bool = False, *args: Any, **kwargs: Any) -> bool:
        return False if raw else super()._save_table(raw, *args, **kwargs)  # type: ignore[misc]


@dataclass(frozen=True)
class Siblings:
    """The models beside one indexed record."""

    document: type[models.Model]
    """Words and identifiers, one row a record, written by a trigger: always current."""
    manifest: type[models.Model]
    """Which digest of the record is embedded, one row a record."""
    chunk: type[models.Model]
    """Parent of the vector tables, one child a space. Holds no rows itself."""
    pending: type[models.Model]
    """Records that wait for an embedding."""

    @classmethod
    def make(cls, index: Declaration) -> Siblings:
        return cls(
            document=_model(index, "document", _document_fields(index), _document_indexes(index)),
            manifest=_model(index, "manifest", _manifest_fields(index), constraints=[_embedded_once(index)]),
            pending=_model(index, "pending", _pending_fields(index)),
            chunk=_model(index, "chunk", _chunk_fields(index), constraints=[InStep.of(index)]),
        )


def _unmanaged_link() -> dict[str, Any]:
    """The database cascades; Django only needs to know which model must exist first."""
    return {"db_constraint": False, "on_delete": models.DO_NOTHING, "related_name": "+"}


def _record(index: Declaration) -> models.OneToOneField[Any, Any]:
    return models.OneToOneField(index.model, primary_key=True, **_unmanaged_link())


def _document_fields(index: Declaration) -> dict[str, Any]:
    return {
        "record": _record(index),
        "tsv": LexemesField(),
        "ids": LexemesField(),
        "grams": ArrayField(models.TextField()),
        "length": models.IntegerField(),
        "recipe": models.CharField(max_length=8),
    }


def _document_indexes(index: Declaration) -> list[models.Index]:
    return [GinIndex(fields=[name], name=f"{index.slug}_{name}") for name in ("tsv", "ids", "grams")]


def _manifest_fields(index: Declaration) -> dict[str, Any]:
    return {
        "record": _record(index),
        "digest": models.UUIDField(),
        "chunks": models.IntegerField(),
        "truncated": models.BooleanField(default=False),
        "embedded_at": models.DateTimeField(db_default=Now()),
        "space": models.ForeignKey("lockstep_search.Space", null=True, db_index=False, **_unmanaged_link()),
    }


def _embedded_once(index: Declaration) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["record", "digest"], name=f"{index.slug}_manifest")


def _pending_fields(index: Declaration) -> dict[str, Any]:
    return {
        "record": _record(index),
        "queued_at": models.DateTimeField(db_default=Now()),
        "not_before": models.DateTimeField(db_default=Now()),
        "attempts": models.IntegerField(db_default=0),
        "error": models.TextField(db_default="", blank=True),
    }


def _chunk_fields(index: Declaration) -> dict[str, Any]:
    return {
        "id": models.BigAutoField(primary_key=True),
        "record": models.ForeignKey(index.model, db_index=False, **_unmanaged_link()),
        "digest": models.UUIDField(null=True),
        "no": models.IntegerField(),
        "start": models.IntegerField(),
        "end": models.IntegerField(),
        "text_key": models.UUIDField(),
    }


def _model(
    index: Declaration,
    kind: str,
    fields: dict[str, Any],
    indexes: list[models.Index] | None = None,
    constraints: list[models.BaseConstraint] | None = None,
) -> type[models.Model]:
    meta = index.model._meta
    name = f"{meta.object_name}{index.attname.title().replace('_', '')}{kind.title()}"
    options = {
        "app_label": meta.app_label,
        "apps": meta.apps,
        "db_table": index.sibling_table(kind),
        "default_permissions": (),
        "verbose_name": f"{meta.verbose_name} search {kind}",
        "indexes": indexes or [],
        "constraints": constraints or [],
    }
    model: type[models.Model] = type(
        name, (Derived,), {"__module__": index.model.__module__, "Meta": type("Meta", (), options), **fields}
    )
    setattr(sys.modules[index.model.__module__], name, model)
    return model
