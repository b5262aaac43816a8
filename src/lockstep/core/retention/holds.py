"""Legal holds: what must not go although its time is up. Each is a row with who and why, and so is its end."""

from __future__ import annotations

from django.db import connections, models
from django.db.models.expressions import RawSQL

from lockstep.core.exceptions import LockstepError
from lockstep.core.retention.models import ExpiringTable, LegalHold
from lockstep.core.retention.policies import is_installed

__all__ = ["HoldError", "held", "hold", "release"]


class HoldError(LockstepError, ValueError):
    """The hold cannot be made or released as asked."""


def hold(
    *,
    actor: str,
    reason: str,
    model: type[models.Model] | None = None,
    key: str = "",
    subject: str = "",
    using: str = "default",
) -> LegalHold:
    """Keep a row, or everything about a person, past its expiry: readable, and neither to be changed nor erased.

    What is written about the person later is held too. What had expired before stays hidden.

    Args:
        actor: who decides.
        reason: why; a case number for one.
        model: of the table; None means every table that expires.
        key: primary key of the row.
        subject: the person's key, as the table has it.

    Raises:
        HoldError: nobody or no reason named, neither key nor subject, or the table does not expire.
    """
    if not actor.strip() or not reason.strip():
        raise HoldError("A hold needs an actor and a reason.")
    if bool(key) is bool(subject):
        raise HoldError("A hold is of one row (key) or of one person (subject).")
    if key and model is None:
        raise HoldError("A key needs its table: name the model.")
    table = model._meta.db_table if model else ""
    if model:
        known = ExpiringTable.objects.using(using).filter(table_name=table)
        if not known.exists():
            raise HoldError(f"{model._meta.label} does not expire.", model=model._meta.label)
        key = _spelled(model, key) if key else ""
        if subject and not known.exclude(subject_column="").exists():
            raise HoldError(f"{model._meta.label} has no field that names a person.")
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_core_hold_v1(%s, %s, %s, %s, %s)",
            [table, key, subject, actor.strip(), reason.strip()],
        )
        return LegalHold.objects.using(using).get(pk=cursor.fetchone()[0])


def release(number: int, *, actor: str, reason: str, using: str = "default") -> LegalHold:
    """End a hold. What has expired meanwhile is hidden at once, and goes with the next purge.

    Raises:
        HoldError: nobody or no reason named, or there is no such hold in force.
    """
    if not actor.strip() or not reason.strip():
        raise HoldError("A release needs an actor and a reason.")
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT lockstep_core_release_v1(%s, %s, %s)", [number, actor.strip(), reason.strip()])
        if not cursor.fetchone()[0]:
            raise HoldError(f"No hold {number} is in force.", number=number)
    return LegalHold.objects.using(using).get(pk=number)


def held(model: type[models.Model], using: str) -> RawSQL | None:
    """Condition on the rows of a model that a hold in force keeps; None where its rows do not expire."""
    table = model._meta.db_table
    if not is_installed(using) or not ExpiringTable.objects.using(using).filter(table_name=table).exists():
        return None
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT lockstep_core_held_v1(%s, %s)", [table, table])
        condition = cursor.fetchone()[0].replace("%", "%%")
    return RawSQL(condition, (), output_field=models.BooleanField())  # noqa: S611 - the database wrote it


def _spelled(model: type[models.Model], key: str) -> str:
    """The key as PostgreSQL writes it."""
    assert model._meta.pk is not None
    try:
        return str(model._meta.pk.to_python(key))
    except Exception as error:
        raise HoldError(f"{key!r} is no key of {model._meta.label}.") from error
