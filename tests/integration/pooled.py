"""What runs in processes of its own behind a pooler that hands connections round."""

from __future__ import annotations

import threading
from typing import Any

from tests.llm.workers import set_up

__all__ = ["ask_and_roll_back", "ask_unprepared_for", "release_and_search"]

IN_TRANSACTION = {"pooler": "transaction"}


def through_the_pooler() -> None:
    from django.conf import settings

    settings.DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True  # as Django asks for behind one


def ask_and_roll_back(url: str, threads: int, each: int) -> None:
    """Many threads; the first of them asks inside of transactions that it rolls back."""
    through_the_pooler()
    support = set_up(url, **IN_TRANSACTION)
    failed: list[BaseException] = []

    def roll_back() -> None:
        from django.contrib.auth.models import Group
        from django.db import transaction

        for number in range(each):
            with transaction.atomic():
                Group.objects.create(name=f"rolled back {number} {threading.get_ident()}")
                support.invoke("How?")
                transaction.set_rollback(True)

    def ask() -> None:
        for _ in range(each):
            support.invoke("How?")

    def noted(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            raise

    workers = [threading.Thread(target=noted, args=[ask if n else roll_back]) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []


def ask_unprepared_for(url: str) -> None:
    """Nobody said that there is a pooler."""
    support = set_up(url)
    from lockstep.llm.exceptions import LedgerError

    try:
        for _ in range(4):
            support.invoke("How?")
    except LedgerError as error:
        print(error)
        raise SystemExit(3) from None


def release_and_search(url: str) -> None:
    """A release that the next call obeys, a search, a queue that is worked off: a transaction each."""
    through_the_pooler()
    set_up(url, **IN_TRANSACTION)
    from lockstep.llm import feature
    from lockstep.llm.models import Call
    from lockstep.prompts.models import PromptVersion
    from lockstep.prompts.releases import release
    from lockstep.search import queue
    from tests.prompts.conftest import body
    from tests.search.oracle import in_step
    from tests.testapp.models import Article, Note

    version, _ = PromptVersion.objects.add("support-answer", body())
    release("support-answer", version.key, actor="ann", reason="first")
    prompted = feature("tests.prompted", model="local:m", prompt="support-answer")
    reply = prompted.invoke({"question": "why?"}, user=7)
    assert Call.objects.get(pk=reply.call).prompt_version == version.key

    Article.objects.bulk_create(Article(title=f"kettle {n}", sku=f"XR-{n:04}") for n in range(20))
    assert Article.objects.hybrid_search("xr0007", top_n=1)[0].sku == "XR-0007"
    Note.objects.bulk_create(Note(text=f"note {n}") for n in range(10))
    for _ in queue.work_off(Note.search, "default", 5):
        pass
    assert in_step(Article, Note)
