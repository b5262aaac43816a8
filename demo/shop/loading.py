"""Puts ``demo/content`` into the shop, in batches, so that it can be stopped and goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import transaction

from demo.orders.models import Order
from demo.shop import content, questions, usual_way
from demo.shop.models import Article, Brand, LoadedContent, Product, Question
from lockstep.budgets.models import Budget
from lockstep.llm.models import Price
from lockstep.prompts.models import Release

BATCH = 16
TOKENS_A_DAY = "200000"
PROMPTS = sorted(Path(__file__).parents[1].glob("*/prompts/*.md"))

Progress: TypeAlias = Callable[[Sequence[Any], str], Iterator[Sequence[Any]]]
"""Passes records on in batches and shows how far it is: ``(records, what is being done)``."""


def is_loaded() -> bool:
    """Whether the shop holds this edition of the content."""
    return LoadedContent.objects.filter(digest=edition()).exists()


def edition() -> str:
    """Of the content and of the prompts."""
    prompts = "".join(path.read_text() for path in PROMPTS)
    return sha256((content.digest() + prompts).encode()).hexdigest()


def mark_loaded() -> None:
    with transaction.atomic():
        LoadedContent.objects.all().delete()
        LoadedContent.objects.create(digest=edition())


def load_people() -> None:
    """Alice, a customer, and Bob, who may do everything."""
    User.objects.update_or_create(
        username="alice", defaults={"first_name": "Alice", "email": "alice@customers.example"}
    )
    bob, is_new = User.objects.update_or_create(
        username="bob",
        defaults={"first_name": "Bob", "email": "bob@larkrise.example"},
        create_defaults={
            "first_name": "Bob", "email": "bob@larkrise.example", "is_staff": True, "is_superuser": True,
        },
    )  # fmt: skip
    if is_new:
        bob.set_password("bob")
        bob.save(update_fields=["password"])
    bob.groups.add(Group.objects.get_or_create(name="refunds")[0])


def load_prompts() -> None:
    """The prompts go live with their files, and the desk gets its budget; afterwards the admin decides."""
    call_command("lockstep_prompts", "sync", stdout=StringIO())
    for prompt in PROMPTS:
        if not Release.objects.filter(prompt=prompt.stem).exists():
            call_command(
                "lockstep_prompts", "release", prompt.stem, "--arm", "file", "--actor", "bin/demo",
                "--reason", "the demo's first prompt", stdout=StringIO(),
            )  # fmt: skip
    if not Price.objects.filter(provider="standin").exists():
        call_command(
            "lockstep_prices", "set", "standin", "quoting", "--input", "0", "--output", "0", "--tariff",
            "--note", "no model, no cost", stdout=StringIO(),
        )  # fmt: skip
    if not Budget.objects.exists():
        call_command(
            "lockstep_budgets",
            "set",
            "support.answer",
            TOKENS_A_DAY,
            "--tokens",
            "--period",
            "day",
            stdout=StringIO(),
        )


def load_records(rows: Sequence[Any], key: str, progress: Progress) -> None:
    """Make a table hold exactly these records.

    Args:
        rows: unsaved instances of one model.
        key: the field by which a record is recognised.
    """
    model = type(rows[0])
    present = {getattr(record, key): record for record in model.objects.all()}
    model.objects.exclude(**{f"{key}__in": [getattr(row, key) for row in rows]}).delete()
    missing = [row for row in rows if getattr(row, key) not in present]
    for batch in progress(missing, f"Embedding {_plural(model)}"):
        model.objects.bulk_create(batch)  # embeds the batch, then writes text and vectors in one transaction
    changed = list(_changed(rows, key, present))
    for batch in progress(changed, f"Renewing {_plural(model)}"):
        model.objects.bulk_update(batch, _own_fields(model))
    usual = usual_way.USUAL[model]
    usual._default_manager.filter(record__in=changed).delete()
    for batch in progress(list(model.objects.filter(usual=None)), f"The usual way: {_plural(model)}"):
        usual_way.keep_up(batch)


def _changed(rows: Iterable[Any], key: str, present: dict[str, Any]) -> Iterator[Any]:
    for row in rows:
        record = present.get(getattr(row, key))
        if record and any(getattr(record, name) != getattr(row, name) for name in _own_fields(type(row))):
            row.pk = record.pk
            yield row


def _own_fields(model: type[Any]) -> list[str]:
    """What the content says of a record, not what the index adds to it."""
    derived = {model._meta.pk.name, model.search.digest_name, model.search.context_name}
    return [field.attname for field in model._meta.concrete_fields if field.name not in derived]


def _plural(model: type[Any]) -> str:
    return str(model._meta.verbose_name_plural)


def product_rows() -> list[Product]:
    rows = content.products()
    brands = {row["brand"]: Brand.objects.get_or_create(name=row["brand"])[0] for row in rows}
    return [
        Product(
            sku=row["sku"],
            ean=row["ean"],
            name=row["name"],
            description=row["description"],
            brand=brands[row["brand"]],
            category=row["category"],
            price_pence=row["price_pence"],
            audience=row["audience"],
            compatible=row["compatible_with"],
        )
        for row in rows
    ]


def article_rows() -> list[Article]:
    return [
        Article(
            slug=text.slug,
            title=text.title,
            body=text.body,
            topic=text.topic,
            audience=text.audience,
            updated=text.updated,
        )
        for text in content.articles()
    ]


def load_orders() -> None:
    """What Alice and Bob have bought."""
    for row in content.orders():
        order, is_new = Order.objects.get_or_create(
            number=row["number"],
            defaults={"customer": User.objects.get(username=row["customer"]), "placed_at": row["placed_at"]},
        )
        for sku, quantity in row["lines"].items() if is_new else ():
            product = Product.objects.get(sku=sku)
            order.lines.create(
                product=product, name=product.name, price_pence=product.price_pence, quantity=quantity
            )


def load_questions() -> None:
    """Ask every committed question both ways and keep the places, for the pages that show them."""
    Question.objects.all().delete()
    Question.objects.bulk_create(
        Question(
            text=answer.text,
            shelf=answer.shelf.name,
            expects=answer.expects,
            kind=answer.kind,
            asked_by=answer.asked_by,
            place=answer.place,
            usual_place=answer.usual_place,
        )
        for answer in questions.ask_all()
    )


def in_batches(records: Sequence[Any]) -> Iterator[Sequence[Any]]:
    rest = iter(records)
    while batch := list(islice(rest, BATCH)):
        yield batch
