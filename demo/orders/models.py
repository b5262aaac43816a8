"""What customers have bought, and the refunds that they asked for."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from demo.shop.models import Product
from lockstep.workflows.models import Run


def new_number() -> str:
    return f"LS-{secrets.token_hex(4).upper()}"


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, user: Any) -> OrderQuerySet:
        """One's own; all of them for staff."""
        return self if user.is_staff else self.filter(customer_id=user.pk)


class Order(models.Model):
    number = models.CharField(max_length=20, unique=True, default=new_number)
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="orders")
    placed_at = models.DateTimeField(default=timezone.now)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-placed_at"]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.number])

    @property
    def total_pence(self) -> int:
        return sum(line.quantity * line.price_pence for line in self.lines.all())

    @property
    def refund(self) -> Refund | None:
        """The one that is under way or was paid; there is one at most."""
        return self.refunds.filter(BINDING).first()

    @transaction.atomic
    def placed_again(self) -> Order:
        """The same once more, as a new order of the same customer."""
        order = Order.objects.create(customer=self.customer)
        for line in self.lines.all():
            line.pk, line.order = None, order
            line.save(force_insert=True)
        return order


class OrderLine(models.Model):
    """What was sold, as it was then: its product may change or go."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=200)
    price_pence = models.PositiveIntegerField()
    quantity = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"


class Outcome(models.TextChoices):
    PAID = "paid"
    DECLINED = "declined", "declined by a colleague"
    UNANSWERED = "unanswered", "nobody decided in time"
    UNSETTLED = "unsettled", "the bank has not confirmed it"


BINDING = ~Q(outcome__in=(Outcome.DECLINED, Outcome.UNANSWERED))
"""A refund that stands in the way of another one of the same order."""


class Refund(models.Model):
    """Which run sees to the refund of which order, and what came of it. How far it is, the run knows."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="refunds")
    run_id = models.UUIDField("run", unique=True)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, help_text="empty: under way")
    asked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order"], condition=BINDING, name="orders_one_refund_an_order")
        ]

    def __str__(self) -> str:
        return f"refund of {self.order}"

    def get_absolute_url(self) -> str:
        return reverse("refund", args=[self.run_id])

    @property
    def run(self) -> Run | None:
        """None when it is so long ago that the run is not kept any more."""
        return Run.objects.filter(pk=self.run_id).first()
