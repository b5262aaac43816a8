"""What the database knows of tables that expire, of holds and of purges. Functions write here, people read."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["ExpiringTable", "LegalHold", "LegalHoldQuerySet", "Purge"]


class ExpiringTable(models.Model):
    """One table whose rows expire, and for how long they may be kept. ``Expiring`` in a migration makes the row."""

    table_name = models.CharField(max_length=63, primary_key=True)
    key_column = models.CharField(max_length=63)
    expires_column = models.CharField(max_length=63)
    begins_column = models.CharField(max_length=63, help_text="Lifetimes are counted from here.")
    subject_column = models.CharField(max_length=63, blank=True, help_text="Names the person.")
    keep = models.DurationField(help_text="Usual lifetime.")
    most = models.DurationField(help_text="No row may be given more.")
    since = models.DateTimeField(db_default=Now())
    swept_at = models.DateTimeField(null=True, help_text="When the purge last came by.")
    swept_by = models.CharField(max_length=63, blank=True)

    class Meta:
        ordering: ClassVar = ["table_name"]
        required_db_vendor = "postgresql"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(keep__gt=timedelta(0), most__gte=models.F("keep")),
                name="lockstep_core_expiring_lifetimes",
            )
        ]

    def __str__(self) -> str:
        return self.table_name


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def in_force(self) -> LegalHoldQuerySet:
        return self.filter(released_at=None)


class LegalHold(models.Model):
    """Somebody needs what would expire: a row by its key, or everything about a person. Beats expiry until released.

    It covers what had not expired when it was made: a hold brings nothing back. The database keeps the record whole;
    the one change that it admits is a release.
    """

    table_name = models.CharField(max_length=63, blank=True, help_text="Empty: every table that expires.")
    key = models.CharField(max_length=200, blank=True, help_text="Key of the row.")
    subject = models.CharField(max_length=200, blank=True, help_text="The person's key.")
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=1000)
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=200, blank=True)
    release_reason = models.CharField(max_length=1000, blank=True)

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(
                fields=["key", "subject"], condition=Q(released_at=None), name="lockstep_core_hold_in_force"
            )
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(key="", subject=""), name="lockstep_core_hold_of_something"),
            models.CheckConstraint(
                condition=~Q(actor="") & ~Q(reason=""), name="lockstep_core_hold_by_someone"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.table_name or 'all tables'}: {self.key or self.subject}"


class Purge(models.Model):
    """Evidence: one day of one table is gone. Append-only."""

    at = models.DateTimeField(db_default=Now())
    table_name = models.CharField(max_length=63)
    partition = models.CharField(max_length=63)
    day = models.DateField(help_text="Day (UTC) on which the rows had expired.")
    rows = models.BigIntegerField(help_text="Rows that are gone.")
    held = models.BigIntegerField(help_text="Rows that a legal hold kept.")
    size_bytes = models.BigIntegerField(help_text="Disk that the day took, indexes included.")
    by = models.CharField(max_length=63, help_text="Role of the database session.")

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        required_db_vendor = "postgresql"
        indexes: ClassVar = [models.Index(fields=["table_name", "day"], name="lockstep_core_purge_of")]

    def __str__(self) -> str:
        return f"{self.partition}: {self.rows}"
