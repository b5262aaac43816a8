"""What tools were called with, what came of it, and each attempt at it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["ToolAttempt", "ToolCall"]


class Effect(models.TextChoices):
    PURE = "pure", "pure: may be repeated at will"
    KEYED = "keyed", "keyed: may be repeated with the same idempotency key"
    AT_MOST_ONCE = "at_most_once", "at most once: never repeated by itself"


class ToolCall(models.Model):
    """One call of a tool in a run. A node that runs again finds it by its key, which is made of where it stands."""

    class Status(models.TextChoices):
        INTENT = "intent", "about to be done, or just being done"
        PARKED = "parked", "to be tried again"
        UNKNOWN = "unknown", "nobody knows whether it was done"
        ASKED = "asked", "a person is to say what becomes of it"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(
        "lockstep_workflows.Run", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="tools"
    )
    key = models.CharField(
        max_length=64, help_text="SHA-256 of the run, the task, the tool and its arguments."
    )
    external_key = models.CharField(
        max_length=255, blank=True, help_text="Idempotency key that it was given."
    )
    tool = models.CharField(max_length=200)
    effect = models.CharField(max_length=12, choices=Effect)
    status = models.CharField(max_length=10, choices=Status, default=Status.INTENT)
    epoch = models.BigIntegerField(help_text="Owner that made the latest attempt.")
    attempt = models.UUIDField(help_text="The latest attempt.")
    attempts = models.SmallIntegerField(default=1)
    spent = models.SmallIntegerField(default=0, help_text="Attempts before somebody tried the run again.")
    kind = models.CharField(max_length=10, blank=True, help_text="How the latest attempt failed.")
    error_kind = models.CharField(max_length=200, blank=True)
    ns = models.TextField(blank=True)
    node = models.CharField(max_length=200, blank=True)
    task_id = models.CharField(max_length=64)
    args = models.JSONField()
    result = models.JSONField(null=True)
    error = models.JSONField(null=True)
    stops = models.JSONField(default=list, help_text="What its node has stopped for in this call, in order.")
    settled_by = models.CharField(
        max_length=255, blank=True, help_text="Who said how it ended, where it was not the call itself."
    )
    next_at = models.DateTimeField(null=True, help_text="Not tried again before.")
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["at"]
        indexes: ClassVar = [
            models.Index(fields=["run"], name="lockstep_workflows_tool_of"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_tool_who"),
        ]

    def __str__(self) -> str:
        return f"{self.tool}: {self.status}"

    @property
    def arguments(self) -> Any:
        """What it was called with, by name."""
        return self.run.codec.decode(self.args)

    @property
    def value(self) -> Any:
        """What it gave; None while it is not done."""
        return None if self.result is None else self.run.codec.decode(self.result)


class ToolAttempt(models.Model):
    """One attempt at a call. It holds no content and stays when the call has expired."""

    class Outcome(models.TextChoices):
        BEGUN = "begun", "just being made"
        DONE = "done"
        FAILED = "failed"
        UNKNOWN = "unknown", "nobody knows whether it was done"
        CANCELLED = "cancelled"
        LOST = "lost", "its worker died"

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(
        "lockstep_workflows.Run", models.CASCADE, db_constraint=False, db_index=False, related_name="attempts"
    )
    call = models.UUIDField(help_text="The ToolCall.")
    tool = models.CharField(max_length=200)
    effect = models.CharField(max_length=12, choices=Effect)
    node = models.CharField(max_length=200, blank=True)
    number = models.SmallIntegerField()
    epoch = models.BigIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.BEGUN)
    kind = models.CharField(
        max_length=10, blank=True, help_text="transient, permanent, unknown or cancelled."
    )
    error_kind = models.CharField(max_length=200, blank=True)
    http_status = models.SmallIntegerField(null=True)
    elapsed_ms = models.FloatField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["at"]
        indexes: ClassVar = [
            models.Index(fields=["run", "at"], name="lockstep_workflows_attempts_of"),
            models.Index(fields=["at"], name="lockstep_workflows_attempts_at"),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.number}: {self.outcome}"
