"""Tables shared by every index of a database."""

from __future__ import annotations

from typing import Any

from django.db import models

__all__ = ["Derived", "LexemeStat", "Space"]


class Derived(models.Model):
    """A row that the database, the write hooks or a command makes; fixtures cannot bring one."""

    class Meta:
        abstract = True

    def _save_table(self, raw: bool = False, *args: Any, **kwargs: Any) -> bool:
        return False if raw else super()._save_table(raw, *args, **kwargs)  # type: ignore[misc]


class Space(Derived):
    """An embedding space of one index: one model, one revision, one number of dimensions.

    Its vectors stand in a typed table of their own, a child of the index's chunk table.
    """

    class State(models.TextChoices):
        BUILDING = "building"
        ACTIVE = "active"
        RETIRED = "retired"

    index = models.CharField(max_length=200, help_text="app.Model.attribute")
    key = models.CharField(max_length=8, help_text="Digest of everything that makes vectors comparable.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    alias = models.CharField(max_length=100, help_text="Embedder in LOCKSTEP that made it.")
    model = models.CharField(max_length=200)
    revision = models.CharField(max_length=100, blank=True)
    dimensions = models.PositiveIntegerField()
    document_prefix = models.CharField(max_length=500, blank=True)
    query_prefix = models.CharField(max_length=500, blank=True)
    chunker = models.CharField(max_length=100)
    table = models.CharField(max_length=63)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        required_db_vendor = "postgresql"  # other databases of the project are left alone
        constraints = [
            models.UniqueConstraint(fields=["index", "key"], name="lockstep_space_once"),
            models.UniqueConstraint(
                fields=["index"], condition=models.Q(state="active"), name="lockstep_space_one_active"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.index} in {self.model} ({self.dimensions} dimensions, {self.state})"


class LexemeStat(Derived):
    """In how many records of an index a lexeme stands; the row of the empty lexeme counts the records.

    ``lockstep_stats`` and the re-embed follower refresh it. It may lag: ranking degrades smoothly.
    """

    pk = models.CompositePrimaryKey("index", "lexeme")
    index = models.CharField(max_length=200)
    lexeme = models.TextField()
    df = models.BigIntegerField()

    class Meta:
        required_db_vendor = "postgresql"

    def __str__(self) -> str:
        return f"{self.lexeme or '(all)'}: {self.df}"
