"""Where writes meet the index: two methods of the model and the methods of the queryset.

Signals would be too late: ``post_save`` comes after the transaction of a plain ``save()`` is over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import F, Value
from django.db.models.functions import Cast

from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration, indexes_of
from lockstep.search.settle import SLICE, embed, prepared_pks, settle, warm
from lockstep.search.vectors import given

if TYPE_CHECKING:
    from lockstep.search.declaration import Document

__all__ = [
    "InStepMixin",
    "compute_contexts",
    "context_of_many",
    "hook",
    "in_step",
    "load",
    "on_postgres",
    "prepare",
    "touch",
]

M = TypeVar("M", bound=models.Model)

#: Set while Django's ``bulk_update`` runs inside ours: the ``update()`` that it calls stands aside.
_aside: ContextVar[bool] = ContextVar("lockstep_aside", default=False)


# --- one instance -------------------------------------------------------------------------------


def hook(index: Declaration) -> None:
    """Wrap ``save_base`` (embed before any transaction) and ``_save_table`` (settle inside it)."""
    model = index.model
    model.save_base = _save_base(index, model.save_base)  # type: ignore[method-assign]
    model._save_table = _save_table(index, model._save_table)  # type: ignore[attr-defined]


def _save_base(index: Declaration, original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def save_base(
        self: models.Model,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        place = f"_{index.slug}"
        try:
            if not raw and on_postgres(using):
                if update_fields is not None and index.moves_context(update_fields):
                    update_fields = frozenset([*update_fields, index.context_name])
                if index.strict and index.touches(update_fields):
                    self.__dict__[place] = _warmed(index, self, using, update_fields)
            original(self, raw, force_insert, force_update, using, update_fields)
        finally:
            self.__dict__.pop(place, None)

    return save_base


def _warmed(
    index: Declaration, instance: models.Model, using: str, update_fields: Iterable[str] | None
) -> tuple[Document, Mapping[Any, bytes]] | None:
    """The text that an instance is about to have, with its vectors; None where there is nothing to embed yet."""
    document = index.document(instance, update_fields)
    if document is None or _is_embedded(index, instance, document, using):
        return None
    return document, warm(index, [document], using)


def _pk(index: Declaration, instance: models.Model) -> Any:
    """The key in the index's own table: a child's link to it is set only after its parent is saved."""
    return getattr(instance, index.model._meta.pk.attname)


def _is_embedded(index: Declaration, instance: models.Model, document: Document, using: str) -> bool:
    pk = _pk(index, instance)
    if instance._state.adding or pk is None:
        return False
    sql = f"SELECT 1 FROM {name(index.manifest_table)} WHERE record_id = %s AND digest = %s"
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [prepared_pks(index, [pk], using)[0], document.digest])
        return cursor.fetchone() is not None


def _save_table(index: Declaration, original: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(original)
    def _save_table(
        self: models.Model,
        raw: bool = False,
        cls: type[models.Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        assert using is not None
        args = (raw, cls, force_insert, force_update, using, update_fields)
        if cls is not index.model or not (
            index.strict and index.touches(update_fields) and on_postgres(using)
        ):
            return original(self, *args)
        warmed = self.__dict__.get(f"_{index.slug}")
        with transaction.atomic(using=using, savepoint=False):
            updated = original(self, *args)
            pk = _pk(index, self)
            if warmed is None:
                embed(index, [pk], using)
            else:
                document, vectors = warmed
                with given(vectors):
                    settle(index, {pk: document}, using)
        return updated

    return _save_table


# --- many instances -----------------------------------------------------------------------------


def prepare(index: Declaration, instances: Iterable[models.Model], using: str | None) -> int:
    """See ``SearchIndex.prepare``."""
    using = using or router.db_for_write(index.model)
    documents = [document for instance in instances if (document := index.document(instance)) is not None]
    return len(warm(index, documents, using))


@contextmanager
def in_step(index: Declaration, using: str | None = None) -> Iterator[None]:
    """See ``SearchIndex.in_step``."""
    using = using or router.db_for_write(index.model)
    with transaction.atomic(using=using), _collecting(index, using) as written:
        yield
        if index.context:
            touch(index, index.model._base_manager.using(using).filter(pk__in=written()))


@contextmanager
def _collecting(index: Declaration, using: str) -> Iterator[Callable[[], list[Any]]]:
    """Have the trigger note what is written in this block, by whatever means, and embed it at the end.

    The flag is local to the transaction or savepoint: an error takes it away with what was written.

    Yields: a function that says which records were noted so far.
    """
    with transaction.atomic(using=using, savepoint=False):
        outer = _flag(index, using, "on")
        yield partial(_noted, index, using)
        _flag(index, using, outer)
        if index.strict:
            embed(index, _noted(index, using, take=True), using)


def _flag(index: Declaration, using: str, value: str) -> str:
    """Tell the trigger, for this transaction, whether to note what it sees. Returns the old value."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(nullif(current_setting(%s, true), ''), 'off'), set_config(%s, %s, true)",
            [f"lockstep.{index.slug}"] * 2 + [value],
        )
        old: str = cursor.fetchone()[0]
    return old


def _noted(index: Declaration, using: str, take: bool = False) -> list[Any]:
    """Records that this transaction noted: the queue's clock is the transaction's."""
    verb, end = ("DELETE", "RETURNING record_id") if take else ("SELECT record_id", "")
    with connections[using].cursor() as cursor:
        cursor.execute(f"{verb} FROM {name(index.pending_table)} WHERE queued_at = now() {end}")
        return [row[0] for row in cursor.fetchall()]


def load(
    index: Declaration, instances: Iterable[models.Model], batch_size: int | None, using: str | None
) -> int:
    """See ``SearchIndex.load``."""
    using = using or router.db_for_write(index.model)
    queryset: InStepMixin[Any] = InStepMixin(index.model, using=using)
    count, rest = 0, iter(instances)
    while batch := list(islice(rest, batch_size or settings().batch_size)):
        queryset.bulk_create(batch)
        count += len(batch)
    return count


def touch(index: Declaration, queryset: models.QuerySet[Any]) -> int:
    """See ``SearchIndex.touch``."""
    if not index.context:
        return 0
    using = queryset._db or router.db_for_write(index.model)  # type: ignore[attr-defined]
    writer: InStepMixin[Any] = InStepMixin(index.model, using=using)
    count, size = 0, settings().batch_size
    rest = queryset.using(using).iterator(chunk_size=size)
    while batch := list(islice(rest, size)):
        before = [getattr(item, index.context_name) for item in batch]
        compute_contexts(index, batch)
        pairs = zip(batch, before, strict=True)
        changed = [item for item, old in pairs if getattr(item, index.context_name) != old]
        writer._update_in_step(changed, [index.context_name], None, using)
        count += len(changed)
    return count


def compute_contexts(index: Declaration, instances: Sequence[models.Model]) -> None:
    """Set the context of each instance, fetching what they refer to a relation at a time."""
    models.prefetch_related_objects(instances, *index.relations)
    for instance in instances:
        setattr(instance, index.context_name, index.context_of(instance))


def context_of_many(
    index: Declaration, instances: Sequence[models.Model]
) -> tuple[dict[Any, str], dict[Any, Exception]]:
    """The contexts of stored records by key, and the errors of those whose context cannot be computed."""
    models.prefetch_related_objects(instances, *index.relations)
    found: dict[Any, str] = {}
    failed: dict[Any, Exception] = {}
    for instance in instances:
        try:
            found[instance.pk] = index.context_of(instance)
        except DatabaseError:
            raise
        except Exception as error:  # the project's own code
            failed[instance.pk] = error
    return found, failed


class InStepMixin(models.QuerySet[M]):
    """Bulk writes that keep step with one batched embedder call, made before the transaction opens."""

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M]:
        objs = list(objs)
        using = self._write_db()
        indexes = self._indexes(None, using) if objs else []
        for index in indexes:
            if index.context:
                compute_contexts(index, objs)
                if update_fields is not None and index.moves_context(update_fields):
                    update_fields = [*update_fields, index.context_name]
        insert = partial(
            super().bulk_create, objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
        )  # fmt: skip
        strict = [index for index in indexes if index.strict]
        if not strict:
            return insert()
        # Which rows are written cannot be told from the objects when some conflict, or belong to a parent's table.
        collect = (
            ignore_conflicts or update_conflicts or any(index.model is not self.model for index in strict)
        )
        documents = {index: [index.document(obj) for obj in objs] for index in strict}
        with ExitStack() as stack:
            for index, found in documents.items():
                stack.enter_context(given(warm(index, filter(None, found), using)))
            stack.enter_context(transaction.atomic(using=using, savepoint=False))
            for index in strict if collect else []:
                stack.enter_context(_collecting(index, using))
            created = insert()
            for index, found in {} if collect else documents.items():
                known = {obj.pk: doc for obj, doc in zip(created, found, strict=True) if doc is not None}
                settle(index, known, using)
                embed(index, [obj.pk for obj in created if obj.pk not in known], using)
            return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        objs, names = list(objs), list(fields)
        using = self._write_db()
        for index in self._indexes(names, using) if objs else []:
            if index.moves_context(names):
                compute_contexts(index, objs)
                names.append(index.context_name)
        return self._update_in_step(objs, names, batch_size, using)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def _update_in_step(self, objs: list[M], names: list[str], batch_size: int | None, using: str) -> int:
        strict = [index for index in self._indexes(names, using) if index.strict and objs]
        with ExitStack() as stack:
            for index in strict:
                documents = (index.document(obj, names) for obj in objs)
                stack.enter_context(given(warm(index, filter(None, documents), using)))
            for index in strict:
                stack.enter_context(_collecting(index, using))
            stack.enter_context(_standing_aside())
            return super().bulk_update(objs, names, batch_size)

    def update(self, **kwargs: Any) -> int:
        using = self._write_db()
        query = self.query
        refused = query.is_sliced or query.combinator or query.distinct_fields
        indexes = [] if refused or _aside.get() else self._indexes(kwargs, using)
        strict = [index for index in indexes if index.strict]
        moved = [index for index in indexes if index.moves_context(kwargs)]
        if not (strict or moved):
            return super().update(**kwargs)
        with ExitStack() as stack:
            for index in strict:
                stack.enter_context(given(warm(index, self._future_documents(index, kwargs, using), using)))
            stack.enter_context(transaction.atomic(using=using, savepoint=False))
            for index in strict:
                stack.enter_context(_collecting(index, using))
            # Read before: afterwards they may no longer match the filter.
            pks = list(self.using(using).order_by().values_list("pk", flat=True)) if moved else []
            count = super().update(**kwargs)
            for index in moved:
                for start in range(0, len(pks), SLICE):
                    part = pks[start : start + SLICE]
                    touch(index, index.model._base_manager.using(using).filter(pk__in=part))
            return count

    update.alters_data = True  # type: ignore[attr-defined]

    def touch_search(self) -> int:
        """Renew the context of these records after their related rows changed.

        Returns: how many contexts were different.
        """
        return sum(touch(index, self) for index in indexes_of(self.model))

    touch_search.alters_data = True  # type: ignore[attr-defined]

    def _write_db(self) -> str:
        return self._db or router.db_for_write(self.model, **self._hints)  # type: ignore[attr-defined]

    def _indexes(self, names: Iterable[str] | None, using: str) -> list[Declaration]:
        """Those that a write of these fields (None for all) concerns."""
        if not on_postgres(using):
            return []
        return [
            index for index in indexes_of(self.model) if index.touches(names) or index.moves_context(names)
        ]

    def _future_documents(
        self, index: Declaration, changes: Mapping[str, Any], using: str
    ) -> Iterator[Document]:
        """What these records will say after ``update(**changes)``, as far as a query can tell."""
        values = {}
        for position, field_name in enumerate(index.text_names):
            value = changes.get(field_name, F(field_name))
            if not hasattr(value, "resolve_expression"):
                value = Value(value, output_field=self.model._meta.get_field(field_name))  # type: ignore[arg-type]
            values[f"_{index.slug}_{position}"] = Cast(value, models.TextField())
        rows = self.using(using).order_by().annotate(**values).values_list(*values)
        for row in rows.iterator(chunk_size=settings().batch_size):
            yield Declaration.render(row)


@contextmanager
def _standing_aside() -> Iterator[None]:
    token = _aside.set(True)
    try:
        yield
    finally:
        _aside.reset(token)


def on_postgres(using: str) -> bool:
    """Other databases of a project are left alone."""
    return connections[using].vendor == "postgresql"
