"""What an erasure or an export does not reach, said where it is read: on the receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from django.db import models
from django.utils import timezone

from lockstep.core.retention.models import ExpiringTable
from lockstep.core.retention.policies import is_installed
from lockstep.privacy.rights.tables import Table

__all__ = ["beyond_erasure", "beyond_export"]

BACKUPS = (
    "Backups and archived logs of before: they go when their own time is up. After a restore, erase again."
)


def beyond_erasure(known: list[Table], counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    kept = [f"{found['held']} of {name}" for name, found in counts.items() if found.get("held")]
    held = [f"Under legal hold, and kept until it is released: {', '.join(kept)}. Then erase again."]
    return [*(held if kept else []), *_expired(known), *_files(known), BACKUPS]


def beyond_export(known: list[Table]) -> list[str]:
    return [*_expired(known), *_files(known), "Backups and archived logs of before."]


def _expired(known: list[Table]) -> Iterator[str]:
    """Nobody sees these rows, the application no more than the person, so nobody can count or delete them singly."""
    midnight = (timezone.now().astimezone(UTC) + timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    for using in dict.fromkeys(table.using for table in known if is_installed(table.using)):
        mine = {table.model._meta.db_table: table.name for table in known if table.using == using}
        by_purge: dict[str, list[str]] = {}
        for row in ExpiringTable.objects.using(using).filter(table_name__in=mine).order_by("table_name"):
            by_purge.setdefault(_purged(row.swept_at), []).append(mine[row.table_name])
        for purged, names in by_purge.items():
            yield (
                f"What had expired of {', '.join(names)}: nobody can read it any more, and the first purge after"
                f" {_time(midnight)} drops the last of it. {purged}"
            )


def _files(known: list[Table]) -> Iterator[str]:
    """Django leaves them where they are."""
    for table in known:
        named = [one.name for one in table.model._meta.concrete_fields if isinstance(one, models.FileField)]
        if named:
            yield f"Files that {', '.join(named)} of {table.name} named: the rows do not have them."


def _purged(at: datetime | None) -> str:
    return f"Last purged {_time(at)}." if at else "Never purged so far."


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
