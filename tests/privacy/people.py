"""A project's own tables in the registry of subjects, beside lockstep's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstep.core import ports
from lockstep.core.ports import Subject
from tests.people.models import Customer, Line, Order

__all__ = ["SHOP", "WHO", "registered", "shopper"]

WHO = {"actor": "dpo@example.com", "reason": "request 12"}

SHOP = {
    "people.Customer": Subject("people.Customer", "number"),
    "people.Order": Subject("people.Order", "customer__number", blank=("address", "tastes", "customer")),
    "people.Line": Subject("people.Line", "order__customer__number", blank=("engraving",)),
}
"""Orders and their lines stay for the books; the customer goes."""


@contextmanager
def registered(entries: dict[str, Subject] | None = None, *, ours: bool = True) -> Iterator[None]:
    """These entries for a block, beside lockstep's own."""
    with ports.subjects.override({**(ports.subjects.get() if ours else {}), **(entries or SHOP)}):
        yield


def shopper(number: str, orders: int = 1, **order: Any) -> Customer:
    customer = Customer.objects.create(number=number, name=f"name of {number}")
    for _ in range(orders):
        bought = Order(customer=customer, address=f"street of {number}", tastes={"tea": True}, **order)
        bought.save()
        Line.objects.create(order=bought, engraving=f"for {number}")
    return customer
