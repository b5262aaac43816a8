"""The registry of subjects as models: checked as a whole before anything is touched, in the order to erase in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models, router
from django.db.models import Q, QuerySet

from lockstep.core import ports
from lockstep.core.ports import Subject
from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.rights.people import Person

__all__ = ["Table", "problems", "tables"]

AnyField = Any
"""Django's fields, whose types say little of what is asked here."""


@dataclass(frozen=True)
class Table:
    """One entry of the registry, with what its names mean."""

    name: str
    """As it is registered; the label of the model for the most part."""
    entry: Subject
    model: type[models.Model]
    using: str
    person: AnyField
    """The field at the end of the lookup."""
    through: tuple[type[models.Model], ...]
    """Models on its way."""
    fields: tuple[AnyField, ...]
    """What an export shows."""
    blank: Mapping[str, Any] = field(default_factory=dict)
    """Field -> its value once it is emptied."""

    def about(self, person: Person) -> QuerySet[Any]:
        """The rows about a person, past every manager: one that hides rows would hide them from their owner.

        Raises:
            RightsError: the table writes such a key differently.
        """
        rows: QuerySet[Any] = QuerySet(self.model, using=self.using)
        keys = person.pseudonyms if self.entry.pseudonym else self._own(person)
        if not keys:
            return rows.none()
        return rows.filter(reduce(or_, (Q(**{self.entry.person: key}) for key in keys)))

    def _own(self, person: Person) -> list[Any]:
        try:
            key = self.person.to_python(person.key)
        except ValidationError:
            return []  # whoever has this key is not in this table
        if str(key) != person.key:
            raise RightsError(
                f"{self.model._meta.label} writes this key {str(key)!r}: use it as it is written there.",
                table=self.name,
            )
        return [key]


def tables() -> list[Table]:
    """Every registered table. One that looks at another comes before it: the rows of an order cannot be found by their
    customer any more once the order has lost its own.

    Raises:
        RightsError: an entry cannot be acted on.
    """
    found, wrong = _read()
    if wrong:
        raise RightsError(f"{' '.join(wrong)} Nothing was done.", problems=wrong)
    return _ordered(found)


def problems() -> list[str]:
    """What is wrong with the registry."""
    return _read()[1]


def _read() -> tuple[list[Table], list[str]]:
    found, wrong = [], []
    registered = ports.subjects.get()
    for name, entry in registered.items():
        try:
            found.append(_table(name, entry))
        except (RightsError, FieldDoesNotExist, LookupError, ValueError) as error:
            wrong.append(f"The subject {name!r} cannot be acted on: {error}")
    return found, wrong


def _table(name: str, entry: Subject) -> Table:
    model = apps.get_model(entry.model)
    person, through = _followed(model, entry.person)
    shown = [_own_field(model, one) for one in entry.fields] or list(model._meta.concrete_fields)
    blank = {one: _emptied(_own_field(model, one)) for one in entry.blank}
    return Table(name, entry, model, router.db_for_write(model), person, through, tuple(shown), blank)


def _followed(model: Any, lookup: str) -> tuple[AnyField, tuple[Any, ...]]:
    """The field that a lookup ends at, and the models that it leads through."""
    *way, last = lookup.split("__")
    through = []
    for part in way:
        model = _to_one(model, part).related_model
        through.append(model)
    if last == "pk":
        return model._meta.pk, tuple(through)
    end = model._meta.get_field(last)
    if end.is_relation:
        end = _to_one(model, last)
        if not end.concrete:
            raise RightsError(f"{lookup!r} ends at a relation to this table, not at a key.")
    return end, tuple(through)


def _to_one(model: Any, name: str) -> AnyField:
    found = model._meta.get_field(name)
    if not found.is_relation:
        raise RightsError(f"{model._meta.label}.{name} leads to no other table.")
    if not (found.many_to_one or found.one_to_one) or found.related_model is None:
        raise RightsError(
            f"{model._meta.label}.{name} leads to several rows: a row that several people share cannot be erased for"
            " one of them. Register the table between them."
        )
    return found


def _own_field(model: Any, name: str) -> AnyField:
    found = model._meta.get_field(name)
    if not found.concrete or found.many_to_many:
        raise RightsError(f"{name!r} is no column of {model._meta.label}.")
    return found


def _emptied(one: AnyField) -> Any:
    """The value of a field that says nothing."""
    where = f"{one.model._meta.label}.{one.name}"
    if one.primary_key or one.generated:
        raise RightsError(f"{where} cannot be emptied: it is a {'key' if one.primary_key else 'result'}.")
    if one.null:
        return None
    if one.unique:
        raise RightsError(f"{where} cannot be emptied: it is unique and has no null.")
    if isinstance(one, models.CharField | models.TextField | models.FileField):
        return ""
    if isinstance(one, models.BinaryField):
        return b""
    if one.has_default() and (not callable(one.default) or one.default in (dict, list)):
        return one.get_default()
    raise RightsError(f"{where} cannot be emptied: let it be null, or give it a default.")


def _ordered(found: list[Table]) -> list[Table]:
    """In a circle of foreign keys somebody has to begin."""
    seen: set[str] = set()
    last_first: list[Table] = []

    def visit(table: Table) -> None:
        if table.name not in seen:
            seen.add(table.name)
            for other in found:
                if _looks_at(table, other):
                    visit(other)
            last_first.append(table)

    for table in found:
        visit(table)
    return last_first[::-1]


def _looks_at(table: Table, other: Table) -> bool:
    own = [one.related_model for one in table.model._meta.concrete_fields if one.is_relation]
    return (
        other.model in (*table.through, *own)
        or {other.name, other.entry.model} & set(table.entry.before) != set()
    )
