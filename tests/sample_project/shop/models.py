from django.db import models

from lockstep.search.index import SearchIndex
from lockstep.search.querysets import SearchQuerySet


class Brand(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self):
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    brand = models.ForeignKey(Brand, null=True, blank=True, on_delete=models.CASCADE)
    price = models.IntegerField(default=0)

    search = SearchIndex(
        text={"name": "A", "description": "B"},
        identifiers=["name"],
        context=lambda product: product.brand.name if product.brand else "",
    )
    objects = SearchQuerySet.as_manager()

    def __str__(self):
        return self.name


class Review(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    text = models.TextField()

    search = SearchIndex(text=["text"], mode="deferred")
    objects = SearchQuerySet.as_manager()

    def __str__(self):
        return self.text


class Page(models.Model):
    """A migration brings the first one."""

    title = models.CharField(max_length=200)
    brand = models.ForeignKey(Brand, null=True, on_delete=models.CASCADE)

    search = SearchIndex(text=["title"], context=lambda page: page.brand.name if page.brand else "")
    objects = SearchQuerySet.as_manager()

    def __str__(self):
        return self.title
