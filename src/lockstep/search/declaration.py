"""What an index declares: its fields, their text, and the names that the database knows it by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.backends.utils import truncate_name

from lockstep.search.conf import settings
from lockstep.search.constraints import InStep
from lockstep.search.embedders import get_embedder
from lockstep.search.exceptions import DeclarationError, TextError

if TYPE_CHECKING:
    from lockstep.search.embedders.base import Embedder
    from lockstep.search.siblings import Siblings

__all__ = ["Declaration", "Document", "all_indexes", "indexes_of", "register", "text_digest", "text_key"]

#: Postgres' limit for names, less the room for what follows it: _, the key of a space, _v.
NAME_LENGTH = 52

Mode = Literal["strict", "deferred"]
WEIGHTS = ("A", "B", "C", "D")
CONTEXT_WEIGHT = "B"
UNKNOWN = object()
TEXT_FIELDS = (models.CharField, models.TextField)
IDENTIFIER_FIELDS = (*TEXT_FIELDS, models.IntegerField, models.UUIDField, ArrayField)


@dataclass(frozen=True, slots=True)
class Document:
    """The text that an index embeds of one record, and the digest by which the database knows it."""

    digest: UUID
    text: str
    """Non-empty text fields in declared order, then the context, joined by blank lines. Chunk spans refer to it."""


class Declaration:
    """Names, columns and texts of one index; ``SearchIndex`` adds the work."""

    model: type[models.Model]
    attname: str
    siblings: Siblings

    def __init__(
        self,
        *,
        text: Mapping[str, str] | Sequence[str],
        identifiers: Sequence[str] = (),
        context: Callable[[Any], str | Iterable[str] | None] | None = None,
        embedder: str = "default",
        mode: Mode = "strict",
        config: str | None = None,
    ) -> None:
        if isinstance(text, str) or isinstance(identifiers, str):
            raise DeclarationError('Name fields in a list or dict: text={"title": "A"}, identifiers=["sku"].')
        self.text: dict[str, str] = dict(text) if isinstance(text, Mapping) else dict.fromkeys(text, "B")
        self.identifiers = tuple(identifiers)
        self.context = context
        self.embedder_alias = embedder
        self.mode: Mode = mode
        self._config = config
        if mode not in ("strict", "deferred"):
            raise DeclarationError(f'mode={mode!r}: take "strict" or "deferred".')
        if not self.text:
            raise DeclarationError("SearchIndex needs at least one field in text=.")
        for name, weight in self.text.items():
            if weight not in WEIGHTS:
                raise DeclarationError(f"text[{name!r}] = {weight!r}: a weight is one of A, B, C, D.")

    def check_fields(self) -> None:
        """Refuse what cannot be kept in step."""
        meta = self.model._meta
        if not meta.managed:
            raise DeclarationError(
                f"{meta.label} is unmanaged: no migration can keep it in step. Use hybrid_search(qs, ...)."
            )
        if isinstance(meta.pk, models.CompositePrimaryKey):
            raise DeclarationError(f"{meta.label} has a composite primary key; an index needs a single one.")
        for name in self.text:
            self._local_field(name, TEXT_FIELDS, "a character field")
        for name in self.identifiers:
            self._local_field(name, IDENTIFIER_FIELDS, "a character, integer, UUID or array field")

    def _local_field(self, name: str, kinds: tuple[type, ...], wanted: str) -> None:
        label = self.model._meta.label
        try:
            field = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            hint = "Text of related rows goes into context=." if "__" in name else "Check the spelling."
            raise DeclarationError(f"{label} has no field {name!r} to index. {hint}") from None
        if field not in self.model._meta.local_fields:
            raise DeclarationError(
                f"{label}.{name} lives in the table of {field.model._meta.label}: declare the index there."
            )
        if not isinstance(field, kinds):
            raise DeclarationError(f"{label}.{name} is a {type(field).__name__}; {wanted} is needed here.")

    # --- names ----------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """``app.Model.attribute``, the name of the index in tables and commands."""
        return f"{self.model._meta.label}.{self.attname}"

    @property
    def slug(self) -> str:
        """Short stable name for what the database holds of this index."""
        return "ls_" + hashlib.sha256(self.label.lower().encode()).hexdigest()[:8]

    @property
    def digest_name(self) -> str:
        return f"{self.attname}_digest"

    @property
    def context_name(self) -> str:
        return f"{self.attname}_context"

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def pk_column(self) -> str:
        return str(self.model._meta.pk.column)

    def sibling_table(self, kind: str) -> str:
        """``<record table>_<attribute>_<kind>``, shortened where Postgres would cut it."""
        return truncate_name(f"{self.table}_{self.attname}_{kind}", NAME_LENGTH)

    @property
    def document_table(self) -> str:
        return self.sibling_table("document")

    @property
    def manifest_table(self) -> str:
        return self.sibling_table("manifest")

    @property
    def chunk_table(self) -> str:
        return self.sibling_table("chunk")

    @property
    def pending_table(self) -> str:
        return self.sibling_table("pending")

    @property
    def config(self) -> str:
        """Text-search configuration of Postgres."""
        return self._config or settings().config

    @property
    def recipe(self) -> str:
        """Eight hex digits of the declaration as far as it shapes what the database holds."""
        return InStep.of(self).recipe

    @property
    def strict(self) -> bool:
        return self.mode == "strict"

    @property
    def embedder(self) -> Embedder:
        return get_embedder(self.embedder_alias)

    # --- text -----------------------------------------------------------------------------------

    @property
    def text_names(self) -> list[str]:
        """Fields that are rendered, the context last."""
        return [*self.text, self.context_name] if self.context else list(self.text)

    def columns(self, names: Iterable[str]) -> list[str]:
        return [str(self.model._meta.get_field(name).column) for name in names]  # type: ignore[union-attr]

    def touches(self, names: Iterable[str] | None) -> bool:
        """Whether a write of these fields (None for all) can change what is embedded, or for which key."""
        return names is None or not {*self.text_names, self.model._meta.pk.name}.isdisjoint(names)

    @property
    def relations(self) -> list[str]:
        """Foreign keys of the record: the context is drawn through them."""
        fields = self.model._meta.concrete_fields
        return [f.name for f in fields if f.is_relation and not getattr(f.remote_field, "parent_link", False)]

    def moves_context(self, names: Iterable[str] | None) -> bool:
        """Whether a write of these fields (None for all) can change the context."""
        attnames = [self.model._meta.get_field(name).attname for name in self.relations]  # type: ignore[union-attr]
        sources = {*self.relations, *attnames, self.context_name}
        return self.context is not None and (names is None or not sources.isdisjoint(names))

    def document(self, instance: models.Model, names: Iterable[str] | None = None) -> Document | None:
        """What the index will embed of an instance, or None where only the database can tell.

        That is so for expressions such as ``Upper("title")``, for deferred fields and for field types
        that store something else than what they show.

        Args:
            names: fields that are written; None for all. The context is computed where they can change it.
        """
        values: list[Any] = [self._stored_text(instance, name) for name in self.text]
        if self.context:
            computed = self.moves_context(names)
            values.append(
                self.context_of(instance) if computed else self._stored_text(instance, self.context_name)
            )
        if any(value is UNKNOWN for value in values):
            return None
        return self.render(values)

    def _stored_text(self, instance: models.Model, name: str) -> str | object | None:
        """What the database will hold of a field, as far as Python can tell."""
        field = self.model._meta.get_field(name)
        if field.attname in instance.get_deferred_fields():  # type: ignore[union-attr]
            return UNKNOWN
        value = getattr(instance, field.attname)  # type: ignore[union-attr]
        if hasattr(value, "resolve_expression"):
            return UNKNOWN
        value = field.get_prep_value(value)  # type: ignore[union-attr]
        if not (value is None or isinstance(value, str)):
            return UNKNOWN
        return _storable(value, f"{self.model._meta.label}.{name}")

    def context_of(self, instance: models.Model) -> str:
        """The context text of an instance, computed now."""
        if self.context is None:
            return ""
        try:
            value = self.context(instance)
        except Exception as error:
            error.add_note(
                f"In context= of {self.label}. Many-to-many and reverse rows exist only after the first save:"
                " return '' while instance.pk is None, and call touch_search() when those rows change."
            )
            raise
        lines = [value] if isinstance(value, str) else list(value or ())
        return _storable("\n".join(line for line in lines if line), f"context of {self.label}") or ""

    @staticmethod
    def render(values: Sequence[str | None], digest: UUID | None = None) -> Document:
        """A document from the field values in the order of ``text_names``."""
        text = "\n\n".join(value for value in values if value and value.strip())
        return Document(digest or text_digest(values), text)


def text_digest(values: Sequence[str | None]) -> UUID:
    """The digest that ``lockstep_digest_v1`` computes in the database: length-prefixed, NULL like ''."""
    parts = "|".join(f"{len(value or '')}:{value or ''}" for value in values)
    return UUID(hashlib.sha256(f"v1|{parts}".encode()).hexdigest()[:32])


def text_key(text: str) -> UUID:
    """The key by which the vector of one chunk of text is found again."""
    return UUID(hashlib.sha256(text.encode()).hexdigest()[:32])


def _storable(value: str | None, place: str) -> str | None:
    """Refuse early, by name, what PostgreSQL cannot store."""
    if value is None:
        return None
    if "\x00" in value:
        raise TextError(
            f"{place} holds a NUL character at position {value.index(chr(0))}: PostgreSQL cannot store it."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{place} holds half a character (a lone surrogate) at position {error.start}."
        ) from error
    return value


_bound: list[Declaration] = []


def register(index: Declaration) -> None:
    """Note an index whose model is complete."""
    _bound.append(index)


def all_indexes() -> list[Declaration]:
    """Every index of the installed models."""
    from django.apps import apps

    installed = set(apps.get_models())
    return [index for index in _bound if index.model in installed]


def indexes_of(model: type[models.Model]) -> Iterator[Declaration]:
    """The indexes that a write to this model may concern: its own and those of its parents' tables."""
    seen: set[int] = set()
    for cls in model.__mro__:
        for value in vars(cls).values():
            if isinstance(value, Declaration) and hasattr(value, "model") and id(value) not in seen:
                seen.add(id(value))
                if issubclass(model, value.model):
                    yield value
