"""Time passes in the database, and nobody sleeps."""

from __future__ import annotations

from django.apps import apps
from django.db import connection
from django.db.models import DateTimeField

__all__ = ["pass_by"]


def pass_by(**span: float) -> None:
    """Everything that is noted about notices was noted that much earlier: ``pass_by(hours=1)``."""
    interval = " ".join(f"{count} {unit}" for unit, count in span.items())
    with connection.cursor() as cursor:
        for name in ("Notice", "Delivery", "SinkState", "JobState"):
            model = apps.get_model("lockstep_core", name)
            times = [field.column for field in model._meta.fields if isinstance(field, DateTimeField)]
            moved = ", ".join(f"{column} = {column} - interval '{interval}'" for column in times)
            cursor.execute(f"UPDATE {model._meta.db_table} SET {moved}")
