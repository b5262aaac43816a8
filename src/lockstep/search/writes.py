"""Where writes meet the index: two methods of the model and the methods of the queryset.

Signals would be too late: ``post_save`` comes after the transaction of a plain ``save()`` is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, models, router, transaction
from django.db.models import ExpressionWrapper, F, Value

from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration, indexes_of
from lockstep.search.settle import embed, prepared_pks, settle, warm
from lockstep.search.vectors import given

if TYPE_CHECKING:
    from lockstep.search.declaration import Document

__all__ = ["InStepMixin", "hook", "in_step", "load", "on_postgres", "prepare", "touch"]

M = TypeVar("M", bound=models.Model)

#: Set while a queryset method of ours runs: the ``update()`` that ``bulk_update`` calls stands aside.
_handled: ContextVar[frozenset[str]] = ContextVar("lockstep_handled", default=frozenset())


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
        if not raw and on_postgres(using):
            update_fields = _with_context(index, self, update_fields)
            if index.strict and index.touches(update_fields):
                _warm_one(index, self, using)
        original(self, raw, force_insert, force_update, using, update_fields)

    return save_base


def _with_context(
    index: Declaration, instance: models.Model, update_fields: Iterable[str] | None
) -> Iterable[str] | None:
    """``save(update_fields=["brand"])`` changes what the context says, so the context goes along."""
    if update_fields is None or not index.context:
        return update_fields
    names = frozenset(update_fields)
    if names.isdisjoint(_sources_of_context(index)) or index.context_name in instance.get_deferred_fields():
        return names
    changed = index.context_of(instance) != getattr(instance, index.context_name)
    return names | {index.context_name} if changed else names


def _sources_of_context(index: Declaration) -> set[str]:
    relations = {field.name for field in index.model._meta.concrete_fields if field.is_relation}
    return relations | {f"{relation}_id" for relation in relations} | set(index.text)


def _warm_one(index: Declaration, instance: models.Model, using: str) -> None:
    document = index.document(instance)
    if document is not None and not _is_embedded(index, instance, document, using):
        vectors = warm(index, [document], using)
        instance.__dict__[f"_{index.slug}"] = (document, vectors)


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
        warmed = self.__dict__.pop(f"_{index.slug}", None)
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
    """Collect what is written in this block, by whatever means, and settle it before the block ends."""
    using = using or router.db_for_write(index.model)
    if not index.strict:
        yield
        return
    with transaction.atomic(using=using, savepoint=False):
        outer = _queue(index, using, "on")
        try:
            yield
        except BaseException:
            # The flag is local to the transaction, which rolls back to a savepoint or altogether.
            raise
        _queue(index, using, outer)
        embed(index, _take_queued(index, using), using)


def _queue(index: Declaration, using: str, value: str) -> str:
    """Tell the trigger, for this transaction, whether to note what it sees. Returns the old value."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(nullif(current_setting(%s, true), ''), 'off'), set_config(%s, %s, true)",
            [f"lockstep.{index.slug}"] * 2 + [value],
        )
        old: str = cursor.fetchone()[0]
    return old


def _take_queued(index: Declaration, using: str) -> list[Any]:
    """Records that this transaction noted: the queue's clock is the transaction's."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"DELETE FROM {name(index.pending_table)} WHERE queued_at = now() RETURNING record_id")
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
    using = router.db_for_write(index.model)
    writer: InStepMixin[Any] = InStepMixin(index.model, using=using)
    count, size = 0, settings().batch_size
    rest = queryset.using(using).iterator(chunk_size=size)
    while batch := list(islice(rest, size)):
        changed = [item for item in batch if index.context_of(item) != getattr(item, index.context_name)]
        for item in changed:
            setattr(item, index.context_name, index.context_of(item))
        if changed:
            writer.bulk_update(changed, [index.context_name])
        count += len(changed)
    return count


class InStepMixin(models.QuerySet[M]):
    """Bulk writes that keep step with one batched embedder call, made before the transaction opens."""

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        objs = list(objs)
        using = self._write_db()
        strict = self._strict(None, using)
        if not strict or not objs:
            return super().bulk_create(objs, *args, **kwargs)
        documents = {index: [index.document(obj) for obj in objs] for index in strict}
        with ExitStack() as stack:
            for index, found in documents.items():
                stack.enter_context(given(warm(index, filter(None, found), using)))
            stack.enter_context(transaction.atomic(using=using, savepoint=False))
            if _lands_elsewhere(strict, self.model, args, kwargs):
                for index in strict:
                    stack.enter_context(in_step(index, using))
                return super().bulk_create(objs, *args, **kwargs)
            created = super().bulk_create(objs, *args, **kwargs)
            for index, found in documents.items():
                known = {obj.pk: doc for obj, doc in zip(created, found, strict=True) if doc is not None}
                settle(index, known, using)
                embed(index, [obj.pk for obj in created if obj.pk not in known], using)
            return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        objs, names = tuple(objs), list(fields)
        using = self._write_db()
        strict = self._strict(names, using)
        with ExitStack() as stack:
            for index in strict:
                documents = [doc for obj in objs if (doc := _document_if_plain(index, obj)) is not None]
                stack.enter_context(given(warm(index, documents, using)))
            for index in strict:
                stack.enter_context(in_step(index, using))
            stack.enter_context(_standing_aside(strict))
            count = super().bulk_update(objs, names, batch_size)
        self._renew_contexts(names, [obj.pk for obj in objs], using)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def update(self, **kwargs: Any) -> int:
        using = self._write_db()
        strict = [index for index in self._strict(kwargs, using) if index.label not in _handled.get()]
        renewing = self._contexts_of(kwargs, using)
        pks = list(self.using(using).values_list("pk", flat=True)) if renewing else []
        with ExitStack() as stack:
            for index in strict:
                stack.enter_context(given(warm(index, self._future_documents(index, kwargs, using), using)))
            for index in strict:
                stack.enter_context(in_step(index, using))
            count = super().update(**kwargs)
            if renewing:
                stack.enter_context(transaction.atomic(using=using, savepoint=False))
                self._renew_contexts(kwargs, pks, using)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def touch_search(self) -> int:
        """Renew the context of these records after their related rows changed.

        Returns: how many contexts were different.
        """
        return sum(index.touch(self) for index in indexes_of(self.model))

    touch_search.alters_data = True  # type: ignore[attr-defined]

    def _write_db(self) -> str:
        return self._db or router.db_for_write(self.model, **self._hints)  # type: ignore[attr-defined]

    def _strict(self, names: Iterable[str] | None, using: str) -> list[Declaration]:
        if not on_postgres(using):
            return []
        return [index for index in indexes_of(self.model) if index.strict and index.touches(names)]

    def _contexts_of(self, names: Iterable[str], using: str) -> list[Declaration]:
        """Indexes whose context is drawn through a relation that is written here."""
        if not on_postgres(using) or _handled.get():
            return []
        return [
            index
            for index in indexes_of(self.model)
            if index.context and not _sources_of_context(index).isdisjoint(names)
        ]

    def _renew_contexts(self, names: Iterable[str], pks: Sequence[Any], using: str) -> None:
        for index in self._contexts_of(names, using):
            index.touch(index.model._base_manager.using(using).filter(pk__in=pks))

    def _future_documents(
        self, index: Declaration, changes: Mapping[str, Any], using: str
    ) -> Iterator[Document]:
        """What these records will say after ``update(**changes)``, as far as a query can tell."""
        model_fields = {name: self.model._meta.get_field(name) for name in index.text_names}
        expressions = {}
        for position, (field_name, field) in enumerate(model_fields.items()):
            value = changes.get(field_name, F(field_name))
            if not hasattr(value, "resolve_expression"):
                value = Value(value, output_field=field)
            expressions[f"_{index.slug}_{position}"] = ExpressionWrapper(
                value, output_field=models.TextField()
            )
        rows = self.using(using).order_by().annotate(**expressions).values_list(*expressions)
        for row in rows.iterator(chunk_size=settings().batch_size):
            yield Declaration.render(row)


def _lands_elsewhere(
    strict: list[Declaration], model: type[models.Model], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether the rows that a bulk_create writes cannot be told from its objects: conflicts, parent tables."""
    conflicts = any(args[1:3]) or kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts")
    return bool(conflicts) or any(index.model is not model for index in strict)


def _document_if_plain(index: Declaration, obj: models.Model) -> Document | None:
    plain = all(not hasattr(getattr(obj, field, None), "resolve_expression") for field in index.text)
    return index.document(obj) if plain else None


@contextmanager
def _standing_aside(strict: list[Declaration]) -> Iterator[None]:
    token = _handled.set(_handled.get() | {index.label for index in strict})
    try:
        yield
    finally:
        _handled.reset(token)


def on_postgres(using: str) -> bool:
    """Other databases of a project are left alone."""
    return connections[using].vendor == "postgresql"
