"""Prompts, their immutable versions, and the append-only record of what was released, when, by whom and why.

The digests, the numbers and the times are the database's: triggers and CHECKs in ``sql/`` hold them for every writer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models.functions import Cast, Now

from lockstep.prompts.arms import Arm
from lockstep.prompts.body import Body
from lockstep.prompts.exceptions import NoVersion

__all__ = ["GateDecision", "Prompt", "PromptVersion", "Release"]

SHORT = 12
"""Digits of an address that people read."""


class Prompt(models.Model):
    """A name under which code asks for a prompt."""

    class Policy(models.TextChoices):
        OPEN = "open", "open: any version may be released"
        GATED = "gated", "gated: only what passed its evaluation"

    name = models.CharField(max_length=100, primary_key=True)
    release_policy = models.CharField(max_length=10, choices=Policy, default=Policy.OPEN)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        required_db_vendor = "postgresql"
        ordering = ["name"]
        permissions = [
            ("release_prompt", "Can release and roll back prompts"),
            ("override_gate", "Can override the gate of a prompt for somebody else's release"),
        ]

    def __str__(self) -> str:
        return self.name


class PromptVersionQuerySet(models.QuerySet["PromptVersion"]):
    def named(self, prompt: str, version: str) -> PromptVersion:
        """The version of ``prompt`` whose address begins with ``version``.

        Raises:
            NoVersion: none does, or several do.
        """
        found = list(self.filter(prompt_id=prompt, key__startswith=version.lower())[:2]) if version else []
        if len(found) == 1:
            return found[0]
        said = "several versions beginning with" if found else "no version"
        raise NoVersion(f"{prompt} has {said} {version!r}.", prompt=prompt, version=version)

    def add(self, prompt: str, body: Body, **facts: Any) -> tuple[PromptVersion, bool]:
        """The version with this content, made when it is not there yet. Returns: it, and whether it is new."""
        Prompt.objects.using(self.db).bulk_create([Prompt(name=prompt)], ignore_conflicts=True)
        values = {"key": body.key, "canonical": body.canonical, **facts}
        return self.get_or_create(prompt_id=prompt, key=body.key, defaults=values)


class PromptVersion(models.Model):
    """What a prompt says, for ever. Its key is the SHA-256 of its canonical text."""

    class Source(models.TextChoices):
        FILE = "file", "file"
        ADMIN = "admin", "admin"
        CODE = "code", "code"

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="versions")
    key = models.CharField(max_length=64, editable=False)
    canonical = models.TextField(editable=False)
    body = models.GeneratedField(
        expression=Cast("canonical", models.JSONField()), output_field=models.JSONField(), db_persist=True
    )
    nbytes = models.GeneratedField(
        expression=models.Func("canonical", function="octet_length"),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    source = models.CharField(max_length=10, choices=Source, default=Source.CODE)
    author = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    #: The decision that counts; set by who shows many versions.
    verdict: GateDecision | None = None

    objects = PromptVersionQuerySet.as_manager()

    class Meta:
        required_db_vendor = "postgresql"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["prompt", "key"], name="lockstep_promptversion_once")]

    def __str__(self) -> str:
        return f"{self.prompt_id} {self.short}"

    @property
    def short(self) -> str:
        return self.key[:SHORT]

    @property
    def content(self) -> Body:
        return Body.read(self.canonical)


class ReleaseQuerySet(models.QuerySet["Release"]):
    def live(self, environment: str, at: datetime | None = None) -> ReleaseQuerySet:
        """The release in force of each prompt, now or at a time."""
        rows = self.filter(environment=environment)
        if at is not None:
            rows = rows.filter(at__lte=at)
        return rows.order_by("prompt_id", "-number").distinct("prompt_id")


class Release(models.Model):
    """Which versions a prompt has from now on. The highest number of a prompt and environment is in force."""

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="releases")
    environment = models.CharField(max_length=50, default="production")
    number = models.PositiveIntegerField(default=0, editable=False)
    arms = models.JSONField(default=list)
    salt = models.CharField(max_length=100, blank=True)
    actor = models.CharField(max_length=200)
    reason = models.TextField()
    ticket = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    copied_from = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    override_by = models.CharField(max_length=200, blank=True)
    override_reason = models.TextField(blank=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        required_db_vendor = "postgresql"
        ordering = ["prompt_id", "environment", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "environment", "number"], name="lockstep_release_number"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prompt_id} release {self.number} ({self.environment})"

    @property
    def split(self) -> list[Arm]:
        return [Arm.read(arm) for arm in self.arms]

    @property
    def shares(self) -> list[tuple[Arm, float]]:
        """Each arm with its part of the traffic in per cent."""
        total = sum(arm.weight for arm in self.split)
        return [(arm, 100 * arm.weight / total) for arm in self.split]

    def same_split(self, arms: Iterable[Arm]) -> bool:
        return sorted(self.split) == sorted(arms)


class GateDecision(models.Model):
    """A verdict on a version. The last one counts."""

    OVERRIDE = "override"

    version = models.ForeignKey(PromptVersion, models.PROTECT, related_name="decisions")
    passed = models.BooleanField()
    source = models.CharField(max_length=200, help_text="Suite that decided, or 'override' for a person.")
    actor = models.CharField(max_length=200, blank=True)
    detail = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        required_db_vendor = "postgresql"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version}: {'passed' if self.passed else 'failed'} ({self.source})"
