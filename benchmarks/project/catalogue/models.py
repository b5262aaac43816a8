"""One document, three ways: searched by lockstep, embedded later by workers, and as commonly built."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from pgvector.django import HnswIndex, VectorField

from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet

DIMENSIONS = 384


class Described(models.Model):
    key = models.CharField(max_length=200, unique=True)
    title = models.TextField(blank=True)
    text = models.TextField(blank=True)
    part_number = ArrayField(models.TextField(), default=list, blank=True)
    ean = ArrayField(models.TextField(), default=list, blank=True)
    brand = models.TextField(blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.key} {self.title}"


class Doc(Described):
    search = SearchIndex(
        text={"title": "A", "text": "B"},
        identifiers=["part_number", "ean", "brand"],
    )
    objects = SearchQuerySet.as_manager()


class DeferredDoc(Described):
    search = SearchIndex(
        text={"title": "A", "text": "B"},
        identifiers=["part_number", "ean", "brand"],
        mode="deferred",
    )
    objects = SearchQuerySet.as_manager()


class NaiveDoc(Described):
    """Both search columns on the record itself, filled by the code that writes it."""

    embedding = VectorField(dimensions=DIMENSIONS)
    search_vector = SearchVectorField(null=True)

    class Meta:
        indexes = [
            GinIndex(fields=["search_vector"], name="naive_search_vector"),
            HnswIndex(
                fields=["embedding"],
                name="naive_embedding",
                m=16,
                ef_construction=64,
                opclasses=["vector_cosine_ops"],
            ),
        ]
