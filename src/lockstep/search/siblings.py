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
from lockstep.search.models import Derived

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration

__all__ = ["Siblings"]


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
            manifest=_model(index, "manifest", _manifest_fields(index)),
            pending=_model(index, "pending", _pending_fields(index), _pending_indexes(index)),
            chunk=_model(index, "chunk", _chunk_fields(index), constraints=[InStep.of(index)]),
        )


#: The database cascades; Django only needs to know which model must exist first.
LINK: dict[str, Any] = {"db_constraint": False, "on_delete": models.DO_NOTHING, "related_name": "+"}

PLAIN: dict[type[models.Field[Any, Any]], type[models.Field[Any, Any]]] = {
    models.SmallAutoField: models.SmallIntegerField,
    models.AutoField: models.IntegerField,
    models.BigAutoField: models.BigIntegerField,
}


def _key(index: Declaration) -> dict[str, models.Field[Any, Any]]:
    """The record's key as a primary key of our own. A relation would do, but Django takes relations out of a
    deleted model one by one, and cannot put a primary key back when that migration is reversed."""
    pk = index.model._meta.pk
    if pk.remote_field:  # what it points at may not be loaded yet
        return {"record": models.OneToOneField(index.model, primary_key=True, **LINK)}
    kind = PLAIN.get(type(pk))
    if kind:
        return {"record_id": kind(primary_key=True)}
    _, _, args, options = pk.deconstruct()
    wanted = {key: value for key, value in options.items() if key not in NOT_COPIED}
    return {"record_id": type(pk)(*args, **wanted)}


#: Options of a primary key that say nothing of its type.
NOT_COPIED = {"default", "db_default", "db_column", "editable", "help_text", "verbose_name", "validators"}


def _document_fields(index: Declaration) -> dict[str, Any]:
    return {
        **_key(index),
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
        **_key(index),
        "digest": models.UUIDField(),
        "chunks": models.IntegerField(),
        "truncated": models.BooleanField(default=False),
        "embedded_at": models.DateTimeField(db_default=Now()),
        "space": models.ForeignKey("lockstep_search.Space", null=True, db_index=False, **LINK),
    }


def _pending_fields(index: Declaration) -> dict[str, Any]:
    return {
        **_key(index),
        "queued_at": models.DateTimeField(db_default=Now()),
        "not_before": models.DateTimeField(db_default=Now()),
        "attempts": models.IntegerField(db_default=0),
        "error": models.TextField(db_default="", blank=True),
    }


def _pending_indexes(index: Declaration) -> list[models.Index]:
    return [models.Index(fields=["not_before"], name=f"{index.slug}_due")]


def _chunk_fields(index: Declaration) -> dict[str, Any]:
    return {
        "id": models.BigAutoField(primary_key=True),
        "record": models.ForeignKey(index.model, db_index=False, **LINK),
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
        "required_db_vendor": "postgresql",  # other databases of the project are left alone
        "indexes": indexes or [],
        "constraints": constraints or [],
    }
    model: type[models.Model] = type(
        name, (Derived,), {"__module__": index.model.__module__, "Meta": type("Meta", (), options), **fields}
    )
    setattr(sys.modules[index.model.__module__], name, model)
    return model
