"""A small library of articles that the query tests search."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from lockstep.search import stats
from tests.testapp.models import Article, Brand, Tag

FILLERS = 60


@pytest.fixture
def library(db: None) -> dict[str, Article]:
    """A few articles that questions are about, among many that none is about."""
    kestrel, kestra = Brand.objects.create(name="Kestrel"), Brand.objects.create(name="Kestra")
    made = {
        "kettle": Article(
            title="Descaling a kettle",
            body="White flakes are limescale. Boil water with citric acid and rinse.",
            sku="KST-1.7/BL",
            brand=kestrel,
        ),
        "torch": Article(
            title="Head torch", body="Runs nine hours on one charge.", sku="XR-2000A", brand=kestra
        ),
        "refund": Article(title="Money back", body="We refund the price to your card in thirty days."),
        "french": Article(title="Bouilloire", body="Comment détartrer: eau et acide citrique.", lang="fr"),
        "hidden": Article(
            title="Refund limits", body="Agents refund fifty pounds alone.", sku="SEC-77", public=False
        ),
    }
    Article.objects.bulk_create(made.values())
    Article.objects.bulk_create(
        Article(
            title=f"Item {number}",
            body=f"Shelf {number} holds spare part number {number}.",
            sku=f"SP-{number:04}",
        )
        for number in range(FILLERS)
    )
    stats.refresh(Article.search, "default")
    return made


@pytest.fixture
def reader(db: None) -> User:
    return User.objects.create(username="reader")


@pytest.fixture
def tagged(library: dict[str, Article]) -> Tag:
    """A tag on two articles, and a second one on the first of them: joins over it repeat rows."""
    tag, other = Tag.objects.create(name="home"), Tag.objects.create(name="house")
    library["kettle"].tags.add(tag, other)
    library["torch"].tags.add(tag)
    return tag
