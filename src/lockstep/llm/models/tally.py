"""Calls that are not worth a row each, by the hour."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

__all__ = ["Tally"]


class Tally(models.Model):
    """What this installation computed itself in one hour: embeddings of queries, for the most part."""

    hour = models.DateTimeField(help_text="Its beginning.")
    operation = models.CharField(max_length=20)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    feature = models.CharField(max_length=100, blank=True)
    calls = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    items = models.BigIntegerField(default=0, help_text="Texts embedded, passages re-ranked.")
    input_tokens = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0, help_text="Of all calls together.")

    class Meta:
        verbose_name_plural = "tallies"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["hour", "operation", "provider", "model", "feature"], name="lockstep_llm_tally_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.operation} {self.model}"
