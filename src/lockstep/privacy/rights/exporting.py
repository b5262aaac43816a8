"""Everything that the registered tables say about a person, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.core.serializers.json import DjangoJSONEncoder
from django.db import router, transaction
from django.utils import timezone
from django.utils.encoding import is_protected_type

from lockstep.privacy.rights.beyond import beyond_export
from lockstep.privacy.rights.people import Person, said, who
from lockstep.privacy.rights.tables import Table, tables

if TYPE_CHECKING:
    from lockstep.privacy.rights.models import Receipt

__all__ = ["export"]

CHUNK = 2_000
"""Rows in memory at a time."""


def export(subject: Any, write: Callable[[str], object], *, actor: str, reason: str = "") -> Receipt:
    """Write down what is kept of a person, table by table: content as it is kept, which is redacted.

    The same state gives the same rows in the same order. The receipt is there once all is written.

    Args:
        subject: a user, or a person's key as the tables have it.
        write: takes the document in pieces: ``file.write``.
        actor: who decided.
        reason: why; a case number, not a name.

    Raises:
        RightsError: the key, the actor or the registry cannot be used. Nothing was written then.
    """
    from lockstep.privacy.rights.models import Receipt

    person, known = who(subject), sorted(tables(), key=lambda table: table.name)
    about = {
        "actor": said("actor", actor, most=200, needed=True),
        "reason": said("reason", reason, most=1000),
    }
    rows = [(table, table.about(person).order_by("pk")) for table in known]
    receipt = Receipt(
        id=uuid4(),
        kind=Receipt.Kind.EXPORT,
        subject=person.pseudonyms[0],
        beyond=beyond_export(known),
        **about,
    )
    write(_head(receipt, person))
    for number, (table, some) in enumerate(rows):
        write(f"{',' if number else ''}\n  {_text(table.name)}: [")
        receipt.counts[table.name] = {"exported": _written(table, some, write)}
        write("]")
    write(f"\n}}, {_text('beyond')}: {_text(receipt.beyond)}}}\n")
    receipt.save(using=router.db_for_write(Receipt), force_insert=True)
    return receipt


def _head(receipt: Receipt, person: Person) -> str:
    facts = {"receipt": receipt.pk, "at": timezone.now(), "person": person.key, "pseudonym": receipt.subject}
    return f"{_text(facts)[:-1]}, {_text('tables')}: {{"


def _written(table: Table, rows: Any, write: Callable[[str], object]) -> int:
    """A row a line. A transaction keeps the cursor open behind a pooler too."""
    count = 0
    with transaction.atomic(using=table.using):
        for count, shown in enumerate(_shown(table, rows), start=1):
            write(f"{',' if count > 1 else ''}\n    {_text(shown)}")
    return count


def _shown(table: Table, rows: Any) -> Iterator[Mapping[str, Any]]:
    show = table.entry.show
    for row in rows.iterator(chunk_size=CHUNK):
        yield show(row) if show else {field.attname: _value(field, row) for field in table.fields}


def _value(field: Any, row: Any) -> Any:
    """As Django's serializers write it: what JSON has no word for becomes text."""
    value = field.value_from_object(row)
    return value if is_protected_type(value) else field.value_to_string(row)


def _text(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
