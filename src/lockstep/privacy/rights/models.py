"""The record of what was done for a person."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["Receipt"]


class Receipt(models.Model):
    """Somebody was erased or exported: when, by whom, how many rows of which table. Append-only, and without the
    person's key: it is not to be what is left of them."""

    class Kind(models.TextChoices):
        ERASURE = "erasure", "erased"
        EXPORT = "export", "exported"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=10, choices=Kind)
    subject = models.CharField("person", max_length=64, help_text="Pseudonym of the person.")
    actor = models.CharField(max_length=200, help_text="Who did it.")
    reason = models.CharField(max_length=1000, blank=True)
    counts = models.JSONField(
        default=dict, help_text="Table -> erased, blanked, held or exported -> how many rows."
    )
    beyond = models.JSONField("not reached", default=list, help_text="What it could not reach, in sentences.")

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        required_db_vendor = "postgresql"
        indexes: ClassVar = [models.Index(fields=["subject"], name="lockstep_privacy_receipt_of")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(actor="") & ~Q(subject=""), name="lockstep_privacy_receipt_by_someone"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"

    def total(self, what: str) -> int:
        """Rows of all tables together: erased, blanked, held or exported."""
        return sum(known.get(what, 0) for known in self._counts())

    def _counts(self) -> list[dict[str, Any]]:
        return list(self.counts.values())
