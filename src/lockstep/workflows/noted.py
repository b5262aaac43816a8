"""What models said to the nodes of runs, and which runs were taken elsewhere."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["ModelAnswer", "RunExport"]


class ModelAnswer(models.Model):
    """The answer to one request of a node. A node that runs again overwrites those of its earlier attempt."""

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(
        "lockstep_workflows.Run",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="answers",
    )
    key = models.CharField(max_length=64, help_text="SHA-256 of the run, the task and the request.")
    ns = models.TextField(blank=True)
    node = models.CharField(max_length=200)
    task_id = models.CharField(max_length=64)
    ordinal = models.IntegerField(help_text="0 for the first time that the task asked this.")
    request = models.CharField(
        max_length=64, help_text="SHA-256 of the messages, the model, its parameters and its tools."
    )
    feature = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=300, help_text="provider:name that answered.")
    prompt = models.CharField(max_length=200, blank=True)
    prompt_version = models.CharField(max_length=64, blank=True)
    cost_micros = models.BigIntegerField(null=True)
    answer = models.JSONField(null=True, help_text="Its messages.")
    kept_out = models.CharField(
        max_length=20, blank=True, help_text="Which policy lets nothing exact of the answer be kept."
    )
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["at"]
        indexes: ClassVar = [
            models.Index(fields=["run"], name="lockstep_workflows_answer_of"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_answer_who"),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.node}"


class RunExport(models.Model):
    """A run was written into a file. The row stays when the run's content has expired."""

    class Mode(models.TextChoices):
        EXACT = "exact", "exact: with all that it says"
        REDACTED = "redacted", "redacted: its shape, and what may be kept of the rest"

    run = models.ForeignKey(
        "lockstep_workflows.Run", models.CASCADE, db_constraint=False, db_index=False, related_name="exports"
    )
    at = models.DateTimeField(db_default=Now())
    mode = models.CharField(max_length=10, choices=Mode)
    actor = models.CharField(max_length=200, help_text="Who did it.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file's content.")

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [
            models.Index(fields=["run"], name="lockstep_workflows_export_of"),
            models.Index(fields=["at"], name="lockstep_workflows_export_at"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(actor=""), name="lockstep_workflows_export_by_someone")
        ]

    def __str__(self) -> str:
        return f"{self.mode} by {self.actor}"
