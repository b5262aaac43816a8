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
            models.Index(fields=["id"], condition=Q(handed_at=None), name="lockstep_core_notice_new")
        ]

    def __str__(self) -> str:
        return self.subject


from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge  # noqa: E402, F401
