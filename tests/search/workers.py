"""What runs in processes of its own: writers, followers, and how a test waits for them."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = [
    "environment",
    "kill_at",
    "load_and_measure",
    "reembed",
    "reembed_and_measure",
    "until",
    "write_at_random",
]


def environment() -> dict[str, str]:
    """The test database, for another process."""
    from django.db import connection

    place = connection.settings_dict
    login = f"{place['USER']}:{place['PASSWORD']}" if place["PASSWORD"] else place["USER"]
    host = f"{place['HOST']}:{place['PORT']}" if place["PORT"] else place["HOST"]
    if place["HOST"].startswith("/"):
        url = f"postgresql://{login}@/{place['NAME']}?host={place['HOST']}&port={place['PORT'] or 5432}"
    else:
        url = f"postgresql://{login}@{host}/{place['NAME']}"
    return {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}


def set_up(options: dict[str, Any]) -> None:
    """Django with an embedder that counts."""
    import django
    from django.conf import settings

    from tests.search.conftest import with_embedder

    settings.LOCKSTEP = with_embedder(**options)
    django.setup()


def reembed(arguments: tuple[str, ...], options: dict[str, Any]) -> None:
    set_up(options)
    from django.core.management import call_command

    call_command("lockstep_reembed", *arguments)


def kill_at(place: str, label: str, values: dict[str, Any], options: dict[str, Any]) -> None:
    """Create a record and die by SIGKILL: ``embedded`` after the model answered, ``written`` before COMMIT."""
    import signal

    set_up(options)
    from django.apps import apps
    from django.db import connection

    from lockstep.search.embedders import get_embedder

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if place == "embedded":
        embedder: Any = get_embedder()
        original = embedder.embed_documents
        embedder.embed_documents = lambda *args, **kwargs: (original(*args, **kwargs), die())[0]
    else:
        connection.ensure_connection()
        connection._commit = die  # type: ignore[method-assign]
    apps.get_model(label).objects.create(**values)


def load_and_measure(rows: int, file: Path) -> None:
    """Stream articles into the database, and write the peak of what Python's objects held meanwhile."""
    set_up({"search": {"vector_memory": 100}})
    from tests.testapp.models import Article

    body = "of words " * 20

    def load() -> None:
        articles = (Article(title=f"{rows} {number}", body=body, sku=f"S-{number}") for number in range(rows))
        Article.search.load(articles)

    file.write_text(json.dumps(_peak(load)))


def reembed_and_measure(rows: int, file: Path) -> None:
    """The same for what waits in the queue of the notes."""
    set_up({"search": {"vector_memory": 100}})
    from django.core.management import call_command

    file.write_text(json.dumps(_peak(lambda: call_command("lockstep_reembed", "testapp.Note", verbosity=0))))


def _peak(work: Callable[[], Any]) -> int:
    from lockstep.search.embedders import get_embedder

    embedder: Any = get_embedder()
    embedder.calls = _Nothing()  # what the embedder remembers for the test is not ours
    embedder.timeouts = _Nothing()
    tracemalloc.start()
    work()
    return tracemalloc.get_traced_memory()[1]


class _Nothing(list[Any]):
    def append(self, item: Any) -> None:
        """Forget it."""


def until(condition: Callable[[], Any], timeout_s: float = 30, what: str = "it") -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {timeout_s} s")


def write_at_random(seed: int, seconds: float, options: dict[str, Any]) -> None:
    """Edit the articles of the database in every way, many of them at once, until the time is up."""
    set_up(options)
    import random

    from django.db import connection, transaction
    from django.db.models import F, Value
    from django.db.models.functions import Concat

    from tests.testapp.models import Article

    chance, end = random.Random(seed), time.monotonic() + seconds

    def some() -> Any:
        return Article.objects.order_by("pk")[chance.randrange(4) :].first()

    def save() -> None:
        article = some()
        article.title = f"saved {chance.random()}"
        article.save()

    def save_part() -> None:
        article = some()
        article.body = f"part {chance.random()}"
        article.save(update_fields=["body"])

    def update() -> None:
        Article.objects.filter(pk=some().pk).update(title=Concat(F("sku"), Value(f" {chance.random()}")))

    def embed() -> None:
        Article.search.embed(list(Article.objects.values_list("pk", flat=True)))

    def raw() -> None:
        with Article.search.in_step(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE testapp_article SET body = %s WHERE id = %s", [f"raw {chance.random()}", some().pk]
            )

    def several() -> None:
        with transaction.atomic():
            for article in Article.objects.order_by("pk").select_for_update():
                article.title = f"several {chance.random()}"
                article.save()

    while time.monotonic() < end:
        chance.choice([save, save_part, update, embed, raw, several])()
