"""The declaration: which text of a model is searched, and how it is kept in step."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.signals import class_prepared

from lockstep.search.conf import settings
from lockstep.search.constraints import InStep
from lockstep.search.exceptions import DeclarationError, TextError
from lockstep.search.fields import ContextField, DigestField

if TYPE_CHECKING:
    from lockstep.search.embedders.base import Embedder
    from lockstep.search.siblings import Siblings
    from lockstep.search.spaces import SpaceInfo

__all__ = ["Document", "SearchIndex", "all_indexes", "indexes_of"]

Mode = Literal["strict", "deferred"]
WEIGHTS = ("A", "B", "C", "D")
CONTEXT_WEIGHT = "B"
TEXT_FIELDS = (models.CharField, models.TextField)
IDENTIFIER_FIELDS = (*TEXT_FIELDS, models.IntegerField, models.UUIDField, ArrayField)


@dataclass(frozen=True, slots=True)
class Document:
    """The text that an index embeds of one record, and the digest by which the database knows it."""

    digest: UUID
    text: str
    """Non-empty text fields in declared order, then the context, joined by blank lines. Chunk spans refer to it."""


class SearchIndex:
    """Declares how a model is searched; used like a field::

        search = SearchIndex(text={"title": "A", "body": "B"}, identifiers=["sku"])

    Args:
        text: local character fields to embed and to index by word, each with its weight A to D
            (A counts most); a plain list weighs all alike.
        identifiers: local fields whose values are codes or brands: found whole, without separators,
            by prefix and with a typo. Character, integer, UUID and array fields.
        context: callable from instance to text (or several texts) drawn from related rows, such as a
            brand's name. It is kept in a column of its own; ``touch_search(queryset)`` renews it
            when the related row changes. Each line counts as an identifier too.
        embedder: alias in ``LOCKSTEP["search"]["embedders"]``.
        mode: ``strict`` refuses a commit whose text and embedding differ; ``deferred`` lets the text
            commit at once, marks the record stale and leaves the embedding to ``lockstep_reembed``.
        config: text-search configuration of Postgres; None takes the setting.

    Raises:
        DeclarationError: at class creation, when a field is missing or of a kind that cannot be indexed.
    """

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

    # --- binding to the model -------------------------------------------------------------------

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        self.attname = name
        setattr(cls, name, self)

    def bind(self, model: type[models.Model]) -> None:
        """Add the columns, the sibling models and the write hooks to a model whose fields are known."""
        from lockstep.search.siblings import Siblings
        from lockstep.search.writes import hook

        self.model = model
        self._check_fields()
        self._add_column(self.digest_name, DigestField())
        if self.context:
            self._add_column(self.context_name, ContextField())
        self.siblings = Siblings.make(self)
        hook(self)
        _bound.append(self)

    def _add_column(self, name: str, column: DigestField | ContextField) -> None:
        if any(field.name == name for field in self.model._meta.local_fields):
            raise DeclarationError(
                f"{self.model._meta.label} already has a field {name!r}: name the index otherwise."
            )
        self.model.add_to_class(name, column)  # type: ignore[attr-defined]
        column.index = self

    def _check_fields(self) -> None:
        meta = self.model._meta
        if not meta.managed:
            raise DeclarationError(
                f"{meta.label} is unmanaged: no migration can keep it in step. Use hybrid_search(qs, ...)."
            )
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
        column: str = self.model._meta.pk.column
        return column

    @property
    def document_table(self) -> str:
        return self.siblings.document._meta.db_table

    @property
    def manifest_table(self) -> str:
        return self.siblings.manifest._meta.db_table

    @property
    def chunk_table(self) -> str:
        return self.siblings.chunk._meta.db_table

    @property
    def pending_table(self) -> str:
        return self.siblings.pending._meta.db_table

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
        from lockstep.search.embedders import get_embedder

        return get_embedder(self.embedder_alias)

    def space(self, using: str) -> SpaceInfo:
        """The active embedding space of this index on a database."""
        from lockstep.search.spaces import active

        return active(self, using)

    # --- text -----------------------------------------------------------------------------------

    @property
    def text_names(self) -> list[str]:
        """Fields that are rendered, the context last."""
        return [*self.text, self.context_name] if self.context else list(self.text)

    def columns(self, names: Iterable[str]) -> list[str]:
        return [self.model._meta.get_field(name).column for name in names]  # type: ignore[union-attr]

    def touches(self, names: Iterable[str] | None) -> bool:
        """Whether a write of these fields (None for all) can change what is embedded."""
        return names is None or not set(self.text_names).isdisjoint(names)

    def document(self, instance: models.Model) -> Document | None:
        """What the index will embed of an instance, or None where only the database can tell.

        That is so for expressions such as ``Upper("title")``, for deferred fields and for field types
        that store something else than what they show.
        """
        values: list[str | None] = []
        deferred = instance.get_deferred_fields()
        for name in self.text:
            field = self.model._meta.get_field(name)
            if field.attname in deferred:  # type: ignore[union-attr]
                return None
            value = field.get_prep_value(getattr(instance, field.attname))  # type: ignore[union-attr]
            if not (value is None or isinstance(value, str)):
                return None
            values.append(_storable(value, f"{self.model._meta.label}.{name}"))
        if self.context:
            if self.context_name in deferred:
                return None
            values.append(self.context_of(instance))
        return self.render(values)

    def context_of(self, instance: models.Model) -> str:
        """The context text of an instance, computed now."""
        if self.context is None:
            return ""
        value = self.context(instance)
        lines = [value] if isinstance(value, str) else list(value or ())
        return _storable("\n".join(line for line in lines if line), f"context of {self.label}") or ""

    @staticmethod
    def render(values: Sequence[str | None], digest: UUID | None = None) -> Document:
        """A document from the field values in the order of ``text_names``."""
        text = "\n\n".join(value for value in values if value and value.strip())
        return Document(digest or text_digest(values), text)

    # --- work, handed to the modules that do it ---------------------------------------------------

    def prepare(self, instances: Iterable[models.Model], *, using: str | None = None) -> int:
        """Embed what these instances will need, before a transaction opens.

        The vectors are remembered in this process (``vector_memory``), so that the saves that follow,
        inside ``atomic()`` or the admin, wait for no model.

        Returns: how many texts were embedded.
        """
        from lockstep.search.writes import prepare

        return prepare(self, instances, using)

    def embed(self, pks: Iterable[Any], *, using: str | None = None) -> int:
        """Bring records in step with their text as the database has it now.

        Called in the same transaction it makes raw SQL pass in strict mode.

        Returns: how many records were embedded.
        """
        from lockstep.search.settle import embed

        return embed(self, pks, using)

    def in_step(self, *, using: str | None = None) -> Any:
        """``with Article.search.in_step():`` around raw SQL or COPY embeds what it changed, in one transaction."""
        from lockstep.search.writes import in_step

        return in_step(self, using)

    def load(
        self, instances: Iterable[models.Model], *, batch_size: int | None = None, using: str | None = None
    ) -> int:
        """Insert any number of instances from an iterable, a batch a transaction, in flat memory.

        Returns: how many were inserted. On an error the batches before it stay.
        """
        from lockstep.search.writes import load

        return load(self, instances, batch_size, using)

    def touch(self, queryset: models.QuerySet[Any]) -> int:
        """Renew the context of these records after their related rows changed.

        Returns: how many contexts were different.
        """
        from lockstep.search.writes import touch

        return touch(self, queryset)


def text_digest(values: Sequence[str | None]) -> UUID:
    """The digest that ``lockstep_digest_v1`` computes in the database: length-prefixed, NULL apart from ''."""
    parts = "|".join("N" if value is None else f"{len(value)}:{value}" for value in values)
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


_bound: list[SearchIndex] = []


def all_indexes() -> list[SearchIndex]:
    """Every index of the installed models."""
    from django.apps import apps

    installed = set(apps.get_models())
    return [index for index in _bound if index.model in installed]


def indexes_of(model: type[models.Model]) -> Iterator[SearchIndex]:
    """The indexes that a write to this model may concern: its own and those of its parents' tables."""
    seen: set[int] = set()
    for cls in model.__mro__:
        for value in vars(cls).values():
            if isinstance(value, SearchIndex) and hasattr(value, "model") and id(value) not in seen:
                seen.add(id(value))
                if issubclass(model, value.model):
                    yield value


def _prepared(sender: type[models.Model], **_: Any) -> None:
    """Bind the indexes of a new model: its own, and a copy of each that an abstract base declares."""
    meta = sender._meta
    if meta.abstract or meta.proxy or meta.swapped:
        return
    own = _declared(sender)
    names = {index.attname for index in own}
    for base in sender.__mro__[1:]:
        abstract = getattr(getattr(base, "_meta", None), "abstract", False)
        for index in _declared(base):
            if abstract and index.attname not in names:
                inherited = copy.copy(index)
                inherited.contribute_to_class(sender, index.attname)
                own.append(inherited)
            names.add(index.attname)  # a concrete parent has bound its own: it serves the child too
    for index in own:
        index.bind(sender)


def _declared(cls: type) -> list[SearchIndex]:
    return [value for value in vars(cls).values() if isinstance(value, SearchIndex)]


class_prepared.connect(_prepared, dispatch_uid="lockstep_search.index")
