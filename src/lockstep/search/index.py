"""The declaration of a searched model: ``search = SearchIndex(text={"title": "A", "body": "B"})``."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from django.db import models
from django.db.models.signals import class_prepared

from lockstep.search import settle, spaces, writes
from lockstep.search.declaration import Declaration, Document, all_indexes, indexes_of, register
from lockstep.search.exceptions import DeclarationError
from lockstep.search.fields import ContextField, DigestField
from lockstep.search.query.explain import explain
from lockstep.search.siblings import Siblings

__all__ = ["Document", "SearchIndex", "all_indexes", "indexes_of"]


class SearchIndex(Declaration):
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

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        self.attname = name
        setattr(cls, name, self)

    def bind(self, model: type[models.Model]) -> None:
        """Add the columns, the sibling models and the write hooks to a model whose fields are known."""
        self.model = model
        self.check_fields()
        self._add_column(self.digest_name, DigestField())
        if self.context:
            self._add_column(self.context_name, ContextField())
        self.siblings = Siblings.make(self)
        writes.hook(self)
        if not hasattr(model, "explain"):
            model.explain = explain  # type: ignore[attr-defined]
        register(self)

    def _add_column(self, name: str, column: DigestField | ContextField) -> None:
        if any(field.name == name for field in self.model._meta.local_fields):
            raise DeclarationError(
                f"{self.model._meta.label} already has a field {name!r}: name the index otherwise."
            )
        self.model.add_to_class(name, column)
        column.index = self

    def space(self, using: str) -> spaces.SpaceInfo:
        """The active embedding space of this index on a database."""
        return spaces.active(self, using)

    def prepare(self, instances: Iterable[models.Model], *, using: str | None = None) -> int:
        """Embed what these instances will need, before a transaction opens.

        The vectors are remembered in this process (``vector_memory``), so that the saves that follow,
        inside ``atomic()`` or the admin, wait for no model.

        Returns: how many texts were embedded.
        """
        return writes.prepare(self, instances, using)

    def embed(self, pks: Iterable[Any], *, using: str | None = None) -> int:
        """Bring records in step with their text as the database has it now.

        Called in the same transaction it makes raw SQL pass in strict mode.

        Returns: how many records were embedded.
        """
        return settle.embed(self, pks, using)

    def in_step(self, *, using: str | None = None) -> AbstractContextManager[None]:
        """``with Article.search.in_step():`` around raw SQL or COPY embeds what it changed, in one transaction."""
        return writes.in_step(self, using)

    def load(
        self, instances: Iterable[models.Model], *, batch_size: int | None = None, using: str | None = None
    ) -> int:
        """Insert any number of instances from an iterable, a batch a transaction, in flat memory.

        Returns: how many were inserted. On an error the batches before it stay.
        """
        return writes.load(self, instances, batch_size, using)

    def touch(self, queryset: models.QuerySet[Any]) -> int:
        """Renew the context of these records after their related rows changed.

        Returns: how many contexts were different.
        """
        return writes.touch(self, queryset)


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
