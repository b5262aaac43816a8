"""The shop: brands, products and help articles, each searched through one declaration."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.urls import reverse
from pgvector.django import HnswIndex, VectorField

from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet

M = TypeVar("M", bound=models.Model)
User = AbstractBaseUser | AnonymousUser


class Audience(models.TextChoices):
    PUBLIC = "public", "Everyone"
    TRADE = "trade", "Trade customers"
    STAFF = "staff", "Staff"


def audiences_of(user: Any) -> list[str]:
    """The audiences that a person belongs to."""
    if user.is_staff:
        return list(Audience.values)
    if user.has_perm("shop.see_trade"):
        return [Audience.PUBLIC, Audience.TRADE]
    return [Audience.PUBLIC]


FOUND = 3
"""A question is answered when its record is among this many."""


def is_found(place: int | None) -> bool:
    return place is not None and place <= FOUND


RANKING: dict[str, Any] = {"fusion": "norm", "weights": {"lexical": 1.0, "identifier": 1.0, "dense": 2.0}}
"""How the shop ranks. Among a few hundred records a question shares some word with nearly all of them, so that
places alone say little: scores are added instead, and meaning counts as much as words and part numbers together."""


class ShopQuerySet(SearchQuerySet[M]):
    def visible_to(self, user: User) -> ShopQuerySet[M]:
        """What this person may see. Permissions are just a queryset: every leg of a search obeys them."""
        return self.filter(audience__in=audiences_of(user))

    def find(self, text: str, **changes: Any) -> ShopQuerySet[M]:
        """Search as this shop does, or with other settings of ``hybrid_search``."""
        return self.hybrid_search(text, **(RANKING | changes))


class Brand(models.Model):
    name = models.CharField(max_length=60, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    sku = models.CharField("part number", max_length=40, unique=True)
    ean = models.CharField("EAN", max_length=13, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField()
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="products")
    category = models.CharField(max_length=40, db_index=True)
    price_pence = models.PositiveIntegerField()
    audience = models.CharField(max_length=6, choices=Audience, default=Audience.PUBLIC)
    compatible = ArrayField(models.CharField(max_length=40), default=list, blank=True)

    search = SearchIndex(
        text={"name": "A", "description": "B"},
        identifiers=["sku", "ean"],
        context=lambda product: product.brand.name,
    )
    objects = ShopQuerySet["Product"].as_manager()

    class Meta:
        permissions = [("see_trade", "Sees trade goods and terms")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("products", args=[self.pk])


class Article(models.Model):
    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    body = models.TextField(help_text="Markdown")
    topic = models.CharField(max_length=60, db_index=True)
    audience = models.CharField(max_length=6, choices=Audience, default=Audience.PUBLIC)
    updated = models.DateField()

    search = SearchIndex(text={"title": "A", "body": "B"})
    objects = ShopQuerySet["Article"].as_manager()

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("help", args=[self.slug])


GROUPS = {
    "Part numbers and bar codes": ("exact_code", "no_separators", "spaced", "ean", "prefix", "typo"),
    "Brands that resemble each other": ("near_brand",),
    "Error codes": ("error_code",),
    "In other words": ("paraphrase",),
    "For staff only": ("staff", "hidden"),
}
"""How the pages group the kinds of question."""


class Question(models.Model):
    """One of the 40 committed questions, and how both searches answered when the shop was loaded."""

    text = models.CharField(max_length=200, unique=True)
    shelf = models.CharField(max_length=8, help_text="products or help: where the answer lies")
    expects = models.CharField(max_length=80, help_text="part number or slug of the record that answers it")
    kind = models.CharField(max_length=20)
    asked_by = models.CharField(max_length=10)
    place = models.PositiveSmallIntegerField(
        null=True, help_text="place of that record here; empty: not found"
    )
    usual_place = models.PositiveSmallIntegerField(null=True, help_text="its place the usual way")

    def __str__(self) -> str:
        return self.text

    @property
    def query(self) -> str:
        """Query string of the search page that asks it."""
        return urlencode({"q": self.text})

    @property
    def is_found(self) -> bool:
        return is_found(self.place)

    @property
    def is_usually_found(self) -> bool:
        return is_found(self.usual_place)


class LoadedContent(models.Model):
    """Which edition of ``demo/content`` the shop holds, so that loading it again does nothing."""

    digest = models.CharField(max_length=64, primary_key=True)
    loaded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.digest


class UsualColumns(models.Model):
    """What the usual way of hybrid search keeps (see ``usual_way.py``); nothing holds it in step."""

    search_vector = SearchVectorField(null=True)
    embedding = VectorField(dimensions=384, null=True)

    class Meta:
        abstract = True


class UsualProduct(UsualColumns):
    record = models.OneToOneField(Product, primary_key=True, on_delete=models.CASCADE, related_name="usual")

    class Meta:
        indexes = [
            GinIndex(fields=["search_vector"], name="usual_product_words"),
            HnswIndex(fields=["embedding"], name="usual_product_vectors", opclasses=["vector_cosine_ops"]),
        ]

    def __str__(self) -> str:
        return str(self.record)


class UsualArticle(UsualColumns):
    record = models.OneToOneField(Article, primary_key=True, on_delete=models.CASCADE, related_name="usual")

    class Meta:
        indexes = [
            GinIndex(fields=["search_vector"], name="usual_article_words"),
            HnswIndex(fields=["embedding"], name="usual_article_vectors", opclasses=["vector_cosine_ops"]),
        ]

    def __str__(self) -> str:
        return str(self.record)
