"""The ledger: one row a call, with no word of what was said."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["Call", "CallQuerySet"]


class CallQuerySet(models.QuerySet["Call"]):
    def made(self) -> CallQuerySet:
        """Without those that the door refused: nothing was sent for them."""
        return self.exclude(state=Call.State.REFUSED)

    def attempts(self, invocation: uuid.UUID) -> CallQuerySet:
        """Those of one call; the first gave it its id."""
        return self.filter(Q(pk=invocation) | Q(invocation=invocation, attempt__gt=1))

    def unpriced(self) -> CallQuerySet:
        """Calls that cost something nobody knows: no price, or no exchange rate."""
        return self.made().filter(cost_micros=None).exclude(state=Call.State.RESERVED)


class Call(models.Model):
    """One request to a model, or one refusal. Written by the database's own functions, never changed here."""

    class State(models.TextChoices):
        RESERVED = "reserved", "under way"
        SETTLED = "settled", "settled"
        LAPSED = "lapsed", "never came back"
        REFUSED = "refused", "refused"

    class Outcome(models.TextChoices):
        OK = "ok", "answered"
        ERROR = "error", "failed"
        CANCELLED = "cancelled", "cancelled"
        REFUSED = "refused", "refused"

    class Operation(models.TextChoices):
        CHAT = "chat", "chat"
        EMBEDDINGS = "embeddings", "embeddings"
        RERANK = "rerank", "rerank"

    class UsageSource(models.TextChoices):
        PROVIDER = "provider", "counted by the provider"
        BOUND = "bound", "charged at its bound"
        NONE = "none", "nothing to charge"

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), help_text="When it began, by the clock of the database.")
    operation = models.CharField(max_length=20, choices=Operation.choices)
    feature = models.CharField(max_length=100, blank=True)
    cohort = models.CharField(max_length=100, blank=True)
    tenant = models.CharField(max_length=100, blank=True)
    user_key = models.CharField(
        max_length=64, blank=True, help_text="Pseudonym of the person it was made for."
    )
    prompt = models.CharField(max_length=200, blank=True)
    prompt_version = models.CharField(max_length=64, blank=True)
    arm = models.CharField(max_length=64, blank=True)
    release_id = models.BigIntegerField(null=True, blank=True)
    provider = models.CharField(max_length=100, help_text="Alias of the provider in LOCKSTEP.")
    endpoint = models.CharField(max_length=300, blank=True)
    request_model = models.CharField(max_length=200)
    response_model = models.CharField(max_length=200, blank=True)
    invocation = models.UUIDField(help_text="Shared by the attempts of one call.")
    attempt = models.SmallIntegerField(default=1)
    run = models.CharField(max_length=64, blank=True)
    node = models.CharField(max_length=200, blank=True)
    node_attempt = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        help_text="At the node: the run's owner, counted, and its try, as in 2.1.",
    )
    trace_id = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    error_type = models.CharField(max_length=100, blank=True)
    finish_reason = models.CharField(max_length=50, blank=True)
    input_tokens = models.IntegerField(null=True, blank=True, help_text="Cached ones included.")
    output_tokens = models.IntegerField(null=True, blank=True, help_text="Reasoning included.")
    cache_read_tokens = models.IntegerField(null=True, blank=True)
    cache_write_tokens = models.IntegerField(null=True, blank=True)
    reasoning_tokens = models.IntegerField(null=True, blank=True)
    usage_source = models.CharField(max_length=10, choices=UsageSource.choices, blank=True)
    bound_input = models.IntegerField(help_text="Tokens that the input can be at most.")
    bound_output = models.IntegerField(help_text="Tokens that the answer can be at most.")
    price_id = models.BigIntegerField(null=True, blank=True)
    rate_id = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3)
    bound_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Millionths; what it may cost at most."
    )
    cost_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Millionths; empty: nobody knows the price."
    )
    latency_ms = models.IntegerField(null=True, blank=True)
    first_token_ms = models.IntegerField(null=True, blank=True)
    tools = models.JSONField(
        default=list, blank=True, help_text="[{id, name, ok}]: what the model wanted called."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    result = models.CharField(max_length=50, blank=True, help_text="What became of it for the business.")
    result_value = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    result_at = models.DateTimeField(null=True, blank=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="lockstep_llm_call_at"),
            models.Index(fields=["feature", "-at"], name="lockstep_llm_call_feature"),
            models.Index(
                fields=["prompt", "prompt_version"], condition=~Q(prompt=""), name="lockstep_llm_call_prompt"
            ),
            models.Index(
                fields=["expires_at"], condition=Q(state="reserved"), name="lockstep_llm_call_lapsing"
            ),
            models.Index(
                fields=["invocation"], condition=Q(attempt__gt=1), name="lockstep_llm_call_invocation"
            ),
            models.Index(fields=["run"], condition=~Q(run=""), name="lockstep_llm_call_run"),
        ]

    def __str__(self) -> str:
        return f"{self.feature or self.operation} {self.request_model} {self.id}"
