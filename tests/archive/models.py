"""Models for what the writing half must bear: two indexes on one table, a proxy, natural keys, context in
deferred mode."""

from __future__ import annotations

from typing import Any

from django.db import models

from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet


class AuthorManager(models.Manager["Author"]):
    def get_by_natural_key(self, name: str) -> Author:
        return self.get(name=name)


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)

    objects = AuthorManager()

    def __str__(self) -> str:
        return self.name

    def natural_key(self) -> tuple[str]:
        return (self.name,)


class BookManager(models.Manager.from_queryset(SearchQuerySet["Book"])):  # type: ignore[misc]
    def get_by_natural_key(self, isbn: str) -> Any:
        return self.get(isbn=isbn)


class Book(models.Model):
    """Two indexes of different modes on one table."""

    isbn = models.CharField(max_length=20, unique=True)
    title = models.CharField(max_length=200)
    shelf = models.TextField(blank=True)
    author = models.ForeignKey(Author, null=True, on_delete=models.CASCADE, related_name="books")

    search = SearchIndex(
        text={"title": "A"},
        identifiers=["isbn"],
        context=lambda book: book.author.name if book.author else None,
    )
    places = SearchIndex(text=["shelf"], mode="deferred", config="simple")
    objects = BookManager()

    def __str__(self) -> str:
        return self.title

    def natural_key(self) -> tuple[str]:
        return (self.isbn,)


class Classic(Book):
    class Meta:
        proxy = True


class Letter(models.Model):
    """Deferred, with context."""

    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    sender = models.ForeignKey(Author, null=True, on_delete=models.CASCADE, related_name="letters")

    search = SearchIndex(
        text={"subject": "A", "body": "B"},
        context=lambda letter: [letter.sender.name] if letter.sender else [],
        mode="deferred",
    )
    objects = SearchQuerySet["Letter"].as_manager()

    def __str__(self) -> str:
        return self.subject
