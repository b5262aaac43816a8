"""The two kinds of record that the one search box looks through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from demo.shop.models import Article, Product


@dataclass(frozen=True, slots=True)
class Shelf:
    name: str
    """As in addresses and in ``questions.json``."""
    title: str
    model: type[Product] | type[Article]
    key: str
    """The field by which people and questions name a record."""
    address: str
    """The field that stands in the address of its page."""
    address_kind: str
    """Django's converter for it."""
    heading: str
    text: str
    """The two fields that staff may edit."""

    def place_of(self, key: str, hits: Iterable[Any]) -> int | None:
        """Place of a record in a ranking, from 1; None when it is not there."""
        return next((place for place, hit in enumerate(hits, 1) if getattr(hit, self.key) == key), None)


PRODUCTS = Shelf("products", "Products", Product, "sku", "pk", "int", "name", "description")
HELP = Shelf("help", "Help articles", Article, "slug", "slug", "slug", "title", "body")
SHELVES = {shelf.name: shelf for shelf in (PRODUCTS, HELP)}
