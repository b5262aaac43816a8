"""What runs in processes of its own: callers outside any test runner, that roll back, fail or die."""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["ask", "ask_after_a_cut", "ask_in_threads", "ask_through_a_fork"]

PRICED = {"backend": "lockstep.llm.providers.openai.OpenAI"}


def set_up(url: str, **llm: Any) -> Any:
    import django
    from django.conf import settings

    local = {"BACKEND": PRICED["backend"], "OPTIONS": {"base_url": url, "api_key_env": "TEST_KEY"}}
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": {"local": local}, "timeout_s": 5.0, **llm}}
    django.setup()
    from lockstep.llm import feature

    return feature("tests.support", model="local:m")


def ask(url: str, how: str, **llm: Any) -> None:
    """``rollback``: inside a transaction that is rolled back; ``error``: in one that an exception ends; ``request``: in
    a view under ATOMIC_REQUESTS that fails; ``pooled``: behind a pooler, where nothing may be prepared."""
    support = set_up(url, **({"pooler": "transaction"} if how == "pooled" else {}), **llm)
    from django.contrib.auth.models import Group
    from django.db import transaction

    if how in ("rollback", "error"):
        try:
            with transaction.atomic():
                Group.objects.create(name="rolled back")
                support.invoke("How?")
                if how == "error":
                    raise ZeroDivisionError
                transaction.set_rollback(True)
        except ZeroDivisionError:
            pass
    elif how == "request":
        from django.db import connection
        from django.test import Client

        connection.settings_dict["ATOMIC_REQUESTS"] = True
        from django.conf import settings

        settings.ROOT_URLCONF = "tests.llm.workers"
        settings.ALLOWED_HOSTS = ["*"]
        answer = Client(raise_request_exception=False).get("/")
        assert answer.status_code == 500, answer.status_code
    elif how == "pooled":
        from lockstep.llm.connection import query

        for _ in range(4):
            support.invoke("How?")
        assert query("SELECT count(*) FROM pg_prepared_statements", ()) == (0,)
    else:
        support.invoke("How?")


def failing(request: Any) -> Any:
    from django.contrib.auth.models import Group

    from lockstep.llm import feature

    Group.objects.create(name="rolled back")
    feature("tests.support", model="local:m").invoke("How?")
    raise ZeroDivisionError


def ask_in_threads(url: str, threads: int, each: int) -> None:
    """Many threads, and never more than two connections for the ledger."""
    support = set_up(url)
    from django.db import connection

    def work() -> None:
        for _ in range(each):
            support.invoke("How?")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    most = 0
    while any(worker.is_alive() for worker in workers):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name = 'threads'"
            )
            most = max(most, cursor.fetchone()[0])
    assert 1 <= most <= 2, most


def ask_through_a_fork(url: str) -> None:
    """As prefork servers do: the parent has used the ledger before it forks."""
    support = set_up(url)
    support.invoke("from the parent")
    child = os.fork()
    if not child:
        support.invoke("from the child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    support.invoke("from the parent again")


def _urls() -> list[Any]:
    from django.urls import path

    return [path("", failing)]


urlpatterns = _urls()


def ask_after_a_cut(url: str) -> None:
    support = set_up(url)
    support.invoke("How?")
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
        )
    support.invoke("How?")


def embed_and_end() -> None:
    import atexit

    set_up("http://127.0.0.1:9/v1")
    from lockstep.search.embedders import get_embedder

    get_embedder().embed_query("a kettle")
    get_embedder().embed_query("a torch")
    atexit._run_exitfuncs()  # the test's processes end by os._exit
