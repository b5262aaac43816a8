"""Rows of a run as JSON, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from lockstep.workflows.exceptions import NotImportable
from lockstep.workflows.models import (
    Checkpoint,
    CheckpointWrite,
    ModelAnswer,
    NodeExecution,
    RunContent,
    ToolAttempt,
    ToolCall,
    Wait,
)

__all__ = ["TABLES", "of_row", "row_of"]

TABLES: tuple[type[models.Model], ...] = (
    RunContent, Checkpoint, CheckpointWrite, NodeExecution, Wait, ToolCall, ToolAttempt, ModelAnswer,
)  # fmt: skip
"""Everything that belongs to a run, but for the run itself."""


def of_row(row: models.Model, without: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of a row, plain."""
    fields = {
        field.attname: field for field in row._meta.concrete_fields if field.attname not in set(without)
    }
    return {name: _plain(field.value_from_object(row)) for name, field in fields.items()}


def row_of(model: type[models.Model], given: Any, **others: Any) -> models.Model:
    """A row that is not stored yet.

    Raises:
        NotImportable: it is no row of the table.
    """
    if not isinstance(given, Mapping):
        raise NotImportable(f"{model.__name__} has something in it that is no row.")
    fields = {field.attname: field for field in model._meta.concrete_fields}
    facts: dict[str, Any] = {}
    for name, value in {**given, **others}.items():
        try:
            facts[name] = fields[name].to_python(value)
        except (KeyError, ValidationError, TypeError, ValueError) as error:
            raise NotImportable(f"{model.__name__}.{name:.100} in the file is none of ours.") from error
    return model(**facts)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
