"""The content of calls, apart from the ledger and for a shorter time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from lockstep.privacy.rights.models import Receipt

__all__ = ["Payload", "Receipt"]


class Payload(models.Model):
    """What was asked and answered, as its policy lets it be kept. ``payloads.keep`` writes it.

    Nobody reads it after ``expires_at``: the database hides it then, and drops it with its whole day.
    """

    call = models.UUIDField(primary_key=True, help_text="Id of the call in the ledger.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    feature = models.CharField(max_length=100, blank=True)
    subject = models.CharField(
        max_length=64, blank=True, help_text="Pseudonym of the person, as in the ledger."
    )
    policy = models.CharField(max_length=20, help_text="Policy that it was made under.")
    detectors = models.CharField(max_length=200, blank=True, help_text="What looked for findings.")
    request = models.TextField(blank=True)
    response = models.TextField(blank=True)
    entities = models.JSONField(
        default=dict, blank=True, help_text="Type -> how many findings were replaced."
    )
    encryption = models.CharField(
        max_length=20, blank=True, help_text="Empty: request and response are text."
    )

    class Meta:
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_privacy_payload_of"),
            models.Index(fields=["feature", "at"], name="lockstep_privacy_payload_at"),
            models.Index(fields=["at"], name="lockstep_privacy_payload_new"),
        ]
        permissions: ClassVar = [("reveal_payload", "Can read encrypted content")]

    def __str__(self) -> str:
        return str(self.call)
