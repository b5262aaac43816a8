"""Nothing that a person said is anywhere but with the provider and the caller: every table, log, page, mail and report
that exists, after calls that go well and calls that go wrong."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from lockstep.core import context, features
from lockstep.llm import Feature, feature
from lockstep.llm.exceptions import CallRefused, LlmError
from lockstep.llm.models import Call, Price
from lockstep.privacy import declared
from lockstep.privacy.models import Payload
from tests.llm.chat_server import ChatServer
from tests.llm.conftest import price, server
from tests.llm.test_failures import drop, echo, status

__all__ = ["price", "server"]

pytestmark = pytest.mark.django_db

PERSON, NUMBER, MAIL = "Wilhelmina Zwartkopf", "943 476 5919", "wz@zwartkopf.example"
DISGUISES = (
    f"I am {PERSON}, NHS number {NUMBER}, {MAIL}.",
    "ＮＨＳ ９４３ ４７６ ５９１９ of Ｗｉｌｈｅｌｍｉｎａ Ｚｗａｒｔｋｏｐｆ",
    "943\u200b476\u200b5919 is Wilhelmina\u00a0Zwart\u00adkopf",
    "NHS number 943\n476\n5919",
    json.dumps({"outer": json.dumps({"patient": {"name": PERSON, "nhs_number": 9434765919}, "mail": MAIL})}),
)
CANARIES = ("wilhelmina", "zwartkopf", "9434765919")
KNOWN = {"patient": {"name": PERSON}}
GAPS = re.compile(r"[\s\-.\u200b\u00ad\u00a0]|\\n|\\u200b|\\u00ad|\\u00a0|&nbsp;")


def leaks(text: str) -> list[str]:
    """Canaries in a text, however they are written."""
    import unicodedata

    plain = GAPS.sub("", unicodedata.normalize("NFKC", text)).lower()
    return [canary for canary in CANARIES if canary in plain]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: Any) -> None:
    monkeypatch.setattr("lockstep.llm.retries.BACKOFF_S", 0.0)


@pytest.fixture
def surgery(server: ChatServer, price: Price) -> Iterator[Feature]:
    declared.known("tests.surgery", patient=("name",))
    server.reply = " ".join(DISGUISES)
    server.arguments = json.dumps({"patient": PERSON, "nhs": NUMBER})
    yield feature("tests.surgery", owner="support@example.com", model="local:m")
    features.forget("tests.surgery")
    declared.forget("tests.surgery")


class Booking(BaseModel):
    order: int


Errors = list[BaseException]


def everything(surgery: Feature, server: ChatServer) -> Errors:
    """Calls of every kind; the errors that their callers saw."""
    asked = [HumanMessage(text) for text in DISGUISES]
    tool = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
    answer = AIMessage("", tool_calls=[{"id": "c1", "name": "book", "args": {"name": PERSON, "nhs": NUMBER}}])
    chat = surgery.chat_model

    async def read() -> None:
        async for _ in await surgery.astream(asked, known=KNOWN):
            pass

    def leave() -> None:
        stream = surgery.stream(asked, known=KNOWN)
        next(iter(stream))
        stream.close()

    def known(call: Callable[[], Any]) -> Callable[[], Any]:
        def within() -> None:
            with context.use(known=KNOWN):
                call()

        return within

    steps: list[tuple[Any, Callable[[], Any]]] = [
        (None, lambda: surgery.invoke(asked, user=7, known=KNOWN)),
        (None, lambda: "".join(surgery.stream(asked, known=KNOWN).text())),
        (None, leave),
        (None, lambda: asyncio.run(read())),
        (None, known(lambda: chat().bind_tools([tool]).invoke(asked))),
        (None, known(lambda: chat().invoke([*asked, answer, ToolMessage(DISGUISES[0], tool_call_id="c1")]))),
        (echo(400), lambda: surgery.invoke(asked, known=KNOWN)),
        (echo(401), known(lambda: chat().invoke(asked))),
        (status(500), lambda: surgery.invoke(asked, known=KNOWN)),
        (drop, lambda: surgery.invoke(asked, known=KNOWN)),
        (None, lambda: surgery.invoke(asked, schema=Booking, known=KNOWN)),
        (None, lambda: surgery.invoke(asked)),  # nobody says who is known
        (None, lambda: surgery.invoke({"question": DISGUISES[0]}, known=KNOWN)),  # there is no prompt
    ]
    errors: Errors = []
    for fault, step in steps:
        server.script = [fault] * 3 if fault else []
        try:
            step()
        except Exception as error:
            errors.append(error)
    server.script = []
    call_command("lockstep_budgets", "set", "tests.surgery", "0", "--tokens", stdout=io.StringIO())
    with pytest.raises(CallRefused) as refused:
        surgery.invoke(asked, user=7, known=KNOWN)
    return [*errors, refused.value]


@pytest.fixture
def errors(surgery: Feature, server: ChatServer, caplog: pytest.LogCaptureFixture) -> Errors:
    """With every logger of the process at DEBUG, those of the SDKs too."""
    caplog.set_level(logging.DEBUG)
    found = everything(surgery, server)
    assert leaks(json.dumps([body for _, _, body in server.seen])) == list(CANARIES)  # they were sent
    assert Call.objects.count() >= 14
    assert len(found) == 7
    return found


def test_no_table_has_it(errors: Errors) -> None:
    """The payloads, the ledger, notices, budgets, the admin's own log, sessions: all that there is."""
    assert Payload.objects.filter(response__contains="[NHS_1]").count() >= 5
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind = 'r'"
            " AND c.relnamespace = current_schema()::regnamespace"
        )
        tables = [name for (name,) in cursor.fetchall()]
        for table in tables:
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
            assert leaks(cursor.fetchone()[0] or "") == [], table
    assert {"lockstep_llm_call", "lockstep_core_notice", "django_admin_log"} <= set(tables)


def test_no_log_has_it(errors: Errors, caplog: pytest.LogCaptureFixture) -> None:
    records = caplog.get_records("setup")
    assert {"lockstep.privacy", "asyncio"} <= {record.name for record in records}
    for record in records:
        assert leaks(f"{record.getMessage()} {record.args} {record.exc_text}") == [], record.name


def test_no_error_has_it(errors: Errors) -> None:
    """Its text, its facts, the errors behind it and the lines of its traceback, as logs and mails show them."""
    for error in errors:
        assert isinstance(error, (LlmError, ValueError))
        assert leaks("".join(traceback.format_exception(error))) == []
        assert leaks(f"{error!r} {error.args} {vars(error)}") == []
        assert leaks("".join(getattr(error, "__notes__", []))) == []


def test_no_result_of_celery_has_it(errors: Errors) -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery(
        "test", broker="memory://", backend="cache+memory://", task_always_eager=True, task_store_eager_result=True,
        set_as_current=False,
    )  # fmt: skip
    stored = []

    def remember(key: Any, value: Any, *_: Any) -> None:
        stored.append(value if isinstance(value, str) else bytes(value).decode())

    app.backend.set = remember
    app.backend._set_with_state = lambda key, value, state: remember(key, value)
    for error in errors:

        @app.task(name=f"task-{id(error)}")
        def work(error: BaseException = error) -> None:
            raise error

        work.delay()
    assert len(stored) == len(errors)
    assert "ProviderRefused" in "".join(stored)
    assert leaks("".join(stored)) == []


@pytest.mark.parametrize("debug", [True, False])
def test_no_report_of_djangos_has_it(errors: Errors, debug: bool, settings: Any) -> None:
    """The page of an error and the mail about it, made of frames that all held it."""
    settings.DEBUG = debug
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "lockstep.privacy.error_reports.Filter"
    held = 0
    for error in errors:
        frames = error.__traceback__.tb_next if error.__traceback__ else None  # ours is this test's module
        while frames and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        if frames is None:
            continue
        held += bool(leaks(str([frame.f_locals for frame, _ in traceback.walk_tb(frames)])))
        reporter = ExceptionReporter(RequestFactory().post("/"), type(error), error, frames)
        assert leaks(reporter.get_traceback_html()) == []
        assert leaks(reporter.get_traceback_text()) == []
    assert held >= 5  # without the filter they would be shown


def test_no_page_of_the_admin_has_it(errors: Errors) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    spend = reverse("admin:lockstep_llm_call_spend")
    pages = [reverse("admin:index"), spend, f"{spend}?format=csv"]
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{name}_changelist"))
        rows = model_admin.get_queryset(_request(client)).order_by("pk")[:40]
        pages += [reverse(f"{name}_change", args=[row.pk]) for row in rows]
    opened = 0
    for page in pages:
        answer = client.get(page, follow=True)
        if answer.status_code == 200:
            opened += 1
            assert leaks(answer.content.decode()) == [], page
        else:
            assert answer.status_code in (403, 404), page
    assert opened > 20


def _request(client: Client) -> Any:
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="ann")
    return request


def test_no_notice_to_people_has_it(errors: Errors, settings: Any) -> None:
    entry = {"BACKEND": "lockstep.core.notify.sinks.Mail", "OPTIONS": {"to": ["ops@example.com"]}}
    settings.LOCKSTEP = settings.LOCKSTEP | {"core": {"notify": {"sinks": {"mail": entry}}}}
    call_command("lockstep_notify", stdout=io.StringIO())
    assert mail.outbox
    assert leaks("".join(message.message().as_string() for message in mail.outbox)) == []


def test_no_export_or_status_has_it(errors: Errors) -> None:
    said = io.StringIO()
    call_command("lockstep_retention", "status", stdout=said)
    call_command("lockstep_budgets", "list", stdout=said)
    call_command(
        "dumpdata", "lockstep_llm", "lockstep_privacy", "lockstep_core", "lockstep_budgets", stdout=said
    )
    assert "lockstep_privacy.payload" in said.getvalue()
    assert leaks(said.getvalue()) == []


def test_the_canaries_would_be_seen() -> None:
    for text in DISGUISES:
        assert leaks(text), text
    assert leaks(json.dumps(DISGUISES)) == list(CANARIES)
    assert leaks("an order of 943 things for Wilhelm") == []
