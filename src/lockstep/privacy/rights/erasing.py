"""Erasing a person from every registered table, in one transaction a database, and the receipt for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import ProtectedError, Q, QuerySet, RestrictedError
from django.db.models.deletion import Collector

from lockstep.core.pseudonyms import LOCK
from lockstep.core.retention.holds import held
from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.rights.beyond import beyond_erasure
from lockstep.privacy.rights.people import Person, said, who
from lockstep.privacy.rights.tables import Table, tables
from lockstep.privacy.rights.texts import told

if TYPE_CHECKING:
    from lockstep.privacy.rights.models import Receipt

__all__ = ["count", "erase"]

TRIES = 5
RACES = {"40P01", "23001", "23503"}
"""A deadlock with a call of that person; a hold, or a row that belongs to one that goes, which came in between."""
BATCH = 2_000
"""Rows that Django follows to what goes with them at a time."""

Counts = dict[str, Counter[str]]
"""Table -> erased, blanked, held -> rows."""


def erase(subject: Any, *, actor: str, reason: str = "") -> Receipt:
    """Erase a person, as the registry says for each table. What a legal hold keeps stays; the rest goes.

    Each database does all of it or nothing; the one with the receipt comes last, so that a receipt never speaks of
    what did not happen. Inside a transaction of the caller it is part of that.

    Args:
        subject: a user, or a person's key as the tables have it.
        actor: who decided; not the person's own key, for it stays.
        reason: why; a case number, not a name.

    Returns: the receipt, also when nothing was found.

    Raises:
        RightsError: the key, the actor or the registry cannot be used, or a table keeps what should go.
    """
    person, known = who(subject), tables()
    about = {
        "actor": said("actor", actor, most=200, needed=True),
        "reason": said("reason", reason, most=1000),
    }
    for left in reversed(range(TRIES)):
        try:
            return _erased(person, known, about)
        except (ProtectedError, RestrictedError) as error:
            raise RightsError(
                f"Nothing was erased: {error.args[0]} Register what becomes of those rows too."
            ) from error
        except DatabaseError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state not in RACES:
                raise
            if not left:
                raise RightsError(f"Nothing was erased. {told(error)}", sqlstate=state) from error
    raise AssertionError("unreachable")


def count(subject: Any) -> Counts:
    """What ``erase`` would find, without what goes with it by foreign keys. Nothing is changed.

    Raises:
        RightsError: as ``erase``.
    """
    person = who(subject)
    return {table.name: _counted(table, person) for table in tables()}


def _erased(person: Person, known: list[Table], about: dict[str, str]) -> Receipt:
    from lockstep.privacy.rights.models import Receipt

    own = router.db_for_write(Receipt)
    counts: Counts = defaultdict(Counter)
    with ExitStack() as stack:
        for alias in dict.fromkeys([own, *(table.using for table in known)]):
            stack.enter_context(transaction.atomic(using=alias))
            _settle_down(alias, person, known)
        for table in known:
            for name, found in _erase(table, person).items():
                counts[name].update(found)
        return Receipt.objects.using(own).create(
            kind=Receipt.Kind.ERASURE, subject=person.pseudonyms[0], counts=counts,
            beyond=beyond_erasure(known, counts), **about,
        )  # fmt: skip


def _settle_down(alias: str, person: Person, known: list[Table]) -> None:
    """Until the end nobody begins something new about the person, and no table is counted anew or altered."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for key in sorted(person.pseudonyms):
            cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK.format(key='%s')})", [key])
        for name in dict.fromkeys(table.model._meta.db_table for table in known if table.using == alias):
            cursor.execute(f"SELECT FROM {connection.ops.quote_name(name)} LIMIT 0")


def _erase(table: Table, person: Person) -> Counts:
    rows, kept = _rows(table, person)
    counts: Counts = defaultdict(Counter, {table.name: Counter(held=kept.count() if kept is not None else 0)})
    if table.blank:
        counts[table.name]["blanked"] = _unblanked(rows, table).update(**table.blank)
        return counts
    for label, gone in _delete(rows).items():
        counts[table.name if label == table.model._meta.label else label]["erased"] += gone
    counts[table.name]["erased"] += 0
    return counts


def _counted(table: Table, person: Person) -> Counter[str]:
    rows, kept = _rows(table, person)
    found = {"blanked": _unblanked(rows, table).count()} if table.blank else {"erased": rows.count()}
    return Counter(found | {"held": kept.count() if kept is not None else 0})


def _rows(table: Table, person: Person) -> tuple[QuerySet[Any], QuerySet[Any] | None]:
    """Those that may go, and those that a legal hold keeps."""
    rows, condition = table.about(person), held(table.model, table.using)
    if condition is None:
        return rows, None
    return rows.filter(~Q(condition)), rows.filter(condition)


def _unblanked(rows: QuerySet[Any], table: Table) -> QuerySet[Any]:
    """What was emptied before is not found again."""
    says = Q()
    for name, value in table.blank.items():
        says |= Q(**{f"{name}__isnull": False}) if value is None else ~Q(**{name: value})
    return rows.filter(says)


def _delete(rows: QuerySet[Any]) -> Counter[str]:
    """In one statement where nothing hangs on the rows, else with what does. Returns: label of a model -> rows."""
    if Collector(using=rows.db, origin=rows).can_fast_delete(rows):
        return Counter(rows.delete()[1])
    gone: Counter[str] = Counter()
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        some: QuerySet[Any] = models.QuerySet(rows.model, using=rows.db).filter(pk__in=keys)
        total, by_label = some.delete()
        if not total:
            raise RightsError(f"Nothing was erased: {rows.model._meta.label} does not let its rows go.")
        gone.update(by_label)
    return gone
