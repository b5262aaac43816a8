"""Models as a user of the package would write them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from pgvector.django import VectorField

from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet


class Brand(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class ArticleQuerySet(SearchQuerySet["Article"]):
    def visible_to(self, user: User) -> ArticleQuerySet:
        """Public articles, and one's own."""
        return self.filter(models.Q(public=True) | models.Q(owner=user))


class Article(models.Model):
    """Strict, with everything: identifiers, context from a related row, permissions."""

    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    sku = models.CharField(max_length=40, blank=True)
    lang = models.CharField(max_length=5, default="en")
    public = models.BooleanField(default=True)
    views = models.IntegerField(default=0)
    brand = models.ForeignKey(Brand, null=True, blank=True, on_delete=models.SET_NULL)
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    tags = models.ManyToManyField(Tag, blank=True)

    search = SearchIndex(
        text={"title": "A", "body": "B"},
        identifiers=["sku"],
        context=lambda article: article.brand.name if article.brand else "",
    )
    objects = ArticleQuerySet.as_manager()

    def __str__(self) -> str:
        return self.title


class Note(models.Model):
    """Deferred, keyed by UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    text = models.TextField(null=True)
    codes = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    author = models.ForeignKey(User, null=True, on_delete=models.CASCADE)

    search = SearchIndex(text=["text"], identifiers=["codes"], mode="deferred")
    objects = SearchQuerySet["Note"].as_manager()

    def __str__(self) -> str:
        return str(self.id)


class Described(models.Model):
    """An abstract base that brings its index along."""

    description = models.TextField()

    search = SearchIndex(text={"description": "A"})
    objects: Any = SearchQuerySet.as_manager()

    class Meta:
        abstract = True


class Part(Described):
    """Text primary key, column and table names of its own."""

    code = models.CharField(max_length=20, primary_key=True)
    description = models.TextField(db_column="descr")

    class Meta:
        db_table = "Spare Parts"

    def __str__(self) -> str:
        return self.code


class Machine(Described):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class PoweredMachine(Machine):
    """A child by multi-table inheritance, found through its parent's index."""

    watts = models.IntegerField()


class Paper(models.Model):
    """A model with vector and lexeme columns of its own and no declaration."""

    title = models.CharField(max_length=200)
    body = models.TextField()
    public = models.BooleanField(default=True)
    embedding = VectorField(dimensions=64, null=True)
    search_vector = SearchVectorField(null=True)

    def __str__(self) -> str:
        return self.title
