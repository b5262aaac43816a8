"""The table that features are synced to, so that the admin can hang budgets and switches on them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from lockstep.core.features import FeatureSpec


class FeatureQuerySet(models.QuerySet["Feature"]):
    def sync(self, specs: list[FeatureSpec]) -> None:
        """Write what the code declares; mark as withdrawn what it no longer does. Nothing is deleted."""
        for spec in specs:
            values: dict[str, object] = {"owner": spec.owner, "model": spec.model, "prompt": spec.prompt}
            values |= {"data_class": spec.data_class, "declared": True}
            self.update_or_create(name=spec.name, defaults=values | {"endpoints": list(spec.endpoints)})
        self.exclude(name__in=[spec.name for spec in specs]).update(declared=False)


class Feature(models.Model):
    """An AI capability of the product. The code declares it; this row is its shadow."""

    name = models.CharField(max_length=100, primary_key=True)
    owner = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    prompt = models.CharField(max_length=200, blank=True)
    endpoints = models.JSONField(default=list, blank=True)
    data_class = models.CharField(max_length=20)
    declared = models.BooleanField(default=True)
    enabled = models.BooleanField(
        default=True, help_text="Off: the very next call is refused. Nothing in the code turns it on again."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FeatureQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """A message to people, written in the transaction that it speaks of and handed out afterwards."""

    class Severity(models.TextChoices):
        INFO = "info", "info"
        WARNING = "warning", "warning"
        ERROR = "error", "error"
        CRITICAL = "critical", "critical"

    at = models.DateTimeField(db_default=Now())
    topic = models.CharField(max_length=100, help_text="Dotted kind: budgets.soft.")
    subject = models.CharField(max_length=300)
    body = models.TextField(blank=True)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.INFO)
    dedup_key = models.CharField(
        max_length=200, blank=True, help_text="Notices with one key are one incident."
    )
    resolves = models.BooleanField(default=False, help_text="Closes the incident of its key.")
    facts = models.JSONField(default=dict, blank=True)
    handed_at = models.DateTimeField(null=True, blank=True, help_text="When its deliveries were written.")

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(handed_at=None), name="lockstep_core_notice_new"),
            models.Index(
                fields=["dedup_key", "id"], condition=~Q(dedup_key=""), name="lockstep_core_notice_key"
            ),
            models.Index(fields=["at"], name="lockstep_core_notice_at"),
        ]
        permissions: ClassVar = [("test_sink", "Can send a test notice")]

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """A notice on its way to one sink."""

    class State(models.TextChoices):
        PENDING = "pending", "waiting"
        SENT = "sent", "sent"
        DEAD = "dead", "given up"

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries")
    sink = models.CharField(max_length=50)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(db_default=Now(), help_text="Not tried before.")
    gives_up_at = models.DateTimeField(help_text="Not tried any more.")
    sent_at = models.DateTimeField(null=True, blank=True)
    told_in = models.BigIntegerField(
        null=True, blank=True, help_text="Later notice of the same incident, whose message told this one too."
    )
    error = models.CharField(max_length=200, blank=True, help_text="Of the last attempt.")

    class Meta:
        ordering: ClassVar = ["notice_id", "sink"]
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["notice", "sink"], name="lockstep_core_delivery_one")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["sink", "notice"], condition=Q(state="pending"), name="lockstep_core_delivery_due"
            ),
            models.Index(
                fields=["sink", "sent_at"], condition=Q(state="sent"), name="lockstep_core_delivery_sent"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} to {self.sink}"


class SinkState(models.Model):
    """How a sink fares, as all processes that deliver know it. Whoever holds it sends its next message."""

    name = models.CharField(max_length=50, primary_key=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    error = models.CharField(max_length=200, blank=True)
    resume_at = models.DateTimeField(db_default=Now(), help_text="Left alone until then.")
    held_by = models.UUIDField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class JobState(models.Model):
    """When a registered job runs next, as all processes know it."""

    name = models.CharField(max_length=100, primary_key=True)
    next_at = models.DateTimeField(db_default=Now())
    ran_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.name


from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge  # noqa: E402, F401
