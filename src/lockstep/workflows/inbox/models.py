"""What came from outside, apart from what it says: the one stays as long as the ledger, the other a few days."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["InboundBody", "InboundEvent", "Webhook"]


class InboundEvent(models.Model):
    """One event, and the wait that it was given to. Each is given once."""

    id = models.UUIDField(primary_key=True, editable=False)
    source = models.CharField(max_length=100)
    dedupe = models.CharField(max_length=200, help_text="The same again is the same event.")
    name = models.CharField(max_length=200)
    key = models.CharField(max_length=200, blank=True)
    wait = models.ForeignKey(
        "lockstep_workflows.Wait", models.DO_NOTHING, null=True, db_constraint=False, db_index=False,
        related_name="events",
    )  # fmt: skip
    run = models.ForeignKey(
        "lockstep_workflows.Run", models.DO_NOTHING, null=True, db_constraint=False, db_index=False,
        related_name="events",
    )  # fmt: skip
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the run's person.")
    received_at = models.DateTimeField(db_default=Now())
    looked_at = models.DateTimeField(null=True, help_text="When somebody looked for who waits for it.")
    matched_at = models.DateTimeField(null=True)

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-received_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "dedupe"], name="lockstep_workflows_event_once")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["name", "key", "received_at"],
                condition=Q(wait__isnull=True),
                name="lockstep_workflows_event_free",
            ),
            models.Index(
                fields=["received_at"],
                condition=Q(looked_at__isnull=True),
                name="lockstep_workflows_event_new",
            ),
            models.Index(fields=["received_at"], name="lockstep_workflows_event_at"),
            models.Index(fields=["run"], name="lockstep_workflows_event_of"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_event_who"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.key}".strip()

    @property
    def body(self) -> Any:
        """What it said, while nobody has waited for it; None afterwards, or when it has expired."""
        found = InboundBody.objects.using(self._state.db).filter(pk=self.pk).first()
        return None if found is None else found.data


class InboundBody(models.Model):
    """What an event says, until somebody waits for it. Its key is the event's."""

    id = models.UUIDField(primary_key=True, editable=False)
    data = models.JSONField(null=True)
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"

    def __str__(self) -> str:
        return str(self.id)


class Webhook(models.Model):
    """An address that somebody outside sends events to. Neither its token nor its secret is in the database."""

    source = models.CharField(max_length=100, unique=True, help_text="Who sends.")
    token_digest = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of the address's last part."
    )
    nonce = models.CharField(max_length=32, help_text="What the secret is made from, beside SECRET_KEY.")
    event = models.CharField(max_length=200, blank=True, help_text="Name of its events; empty: their type.")
    key_path = models.CharField(
        max_length=200, blank=True, help_text="Where their key stands: data.order.id."
    )
    active = models.BooleanField(default=True)
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["source"]

    def __str__(self) -> str:
        return self.source
