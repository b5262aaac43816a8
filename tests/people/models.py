"""What a project says of its customers, in all the ways that tables do. Made without migrations."""

from __future__ import annotations

from typing import Any

from django.db import models


class Customer(models.Model):
    number = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    portrait = models.FileField(blank=True)

    def __str__(self) -> str:
        return self.name


class VisibleManager(models.Manager["Order"]):
    def get_queryset(self) -> models.QuerySet[Order]:
        return super().get_queryset().filter(hidden=False)


class Order(models.Model):
    """Its default manager hides rows, as those do that delete softly."""

    customer = models.ForeignKey(Customer, null=True, on_delete=models.CASCADE)
    address = models.TextField(default="somewhere")
    tastes = models.JSONField(default=dict)
    total = models.IntegerField(default=0)
    hidden = models.BooleanField(default=False)

    objects: Any = VisibleManager()

    def __str__(self) -> str:
        return self.address


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    engraving = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.engraving


class Invoice(models.Model):
    """Keeps its order from going."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT)

    def __str__(self) -> str:
        return str(self.pk)


class Visit(models.Model):
    """Knows a person by a number only, and nothing hangs on it."""

    visitor = models.IntegerField(null=True)
    page = models.TextField(default="/")
    seconds = models.IntegerField(default=0)
    unlike = models.CharField(max_length=10, unique=True, null=True)
    always = models.DateField(auto_now_add=True)

    def __str__(self) -> str:
        return self.page


class Club(models.Model):
    """Belongs to several people at once."""

    members = models.ManyToManyField(Customer)

    def __str__(self) -> str:
        return str(self.pk)
