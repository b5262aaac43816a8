"""The two columns that an index adds to its record, and the vector columns of its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.postgres.search import SearchVectorField
from django.db import models

if TYPE_CHECKING:
    from lockstep.search.declaration import Declaration

__all__ = ["ContextField", "DigestField", "LexemesField"]


class DigestField(models.UUIDField):  # type: ignore[type-arg]
    """Digest of the indexed text of a record; NULL until the record is enrolled.

    A trigger owns the value. What Python writes only tells the trigger to look again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"null": True, "blank": True, "editable": False, "serialize": False, "default": None}
        super().__init__(*args, **kwargs)
        self.index: Declaration | None = None

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for implied in ("null", "blank", "editable", "serialize", "default"):
            kwargs.pop(implied, None)
        return name, path, args, kwargs

    def pre_save(self, model_instance: models.Model, add: bool) -> UUID | None:
        if self.index is not None:
            document = self.index.document(model_instance)
            if document is not None:
                setattr(model_instance, self.attname, document.digest)
        value: UUID | None = getattr(model_instance, self.attname)
        return value


class ContextField(models.TextField):  # type: ignore[type-arg]
    """Text drawn from related rows, kept in the record so that its digest covers it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"blank": True, "editable": False, "default": "", "db_default": ""}
        super().__init__(*args, **kwargs)
        self.index: Declaration | None = None

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for implied in ("blank", "editable", "default", "db_default"):
            kwargs.pop(implied, None)
        return name, path, args, kwargs

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        if self.index is not None:
            setattr(model_instance, self.attname, self.index.context_of(model_instance))
        value: str = getattr(model_instance, self.attname)
        return value


class LexemesField(SearchVectorField):  # type: ignore[type-arg]
    """A tsvector that triggers write; ``select_format`` keeps it out of every SELECT."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return "NULL::tsvector", ()
