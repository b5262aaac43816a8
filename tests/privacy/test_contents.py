"""What was said in a call through the door is kept as its feature's policy lets it be, and in no other way."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from lockstep.core import context, features, ports
from lockstep.core.pseudonyms import LOCK, pseudonym
from lockstep.llm import Feature, feature
from lockstep.llm.exceptions import FeatureOff, ProviderRefused
from lockstep.llm.models import Call, Price
from lockstep.privacy import declared
from lockstep.privacy.checks import check_lifetimes
from lockstep.privacy.conf import PrivacySettings
from lockstep.privacy.models import Payload
from lockstep.privacy.rights import erase
from tests.llm.chat_server import ChatServer, Handler
from tests.llm.conftest import price, server
from tests.llm.test_failures import echo, status
from tests.privacy.test_concurrency import session

__all__ = ["price", "server"]

pytestmark = pytest.mark.django_db
PERSON = "Wilhelmina Zwart"
NUMBER = "943 476 5919"
SAID = f"I am {PERSON}, NHS number {NUMBER}, wz@example.org."


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: Any) -> None:
    monkeypatch.setattr("lockstep.llm.retries.BACKOFF_S", 0.0)


@pytest.fixture
def surgery(server: ChatServer, price: Price) -> Iterator[Feature]:
    """Knows its patient, and keeps what was said without findings."""
    declared.known("tests.surgery", patient=("name",))
    server.reply = f"Thank you {PERSON}: {NUMBER} is booked."
    yield feature("tests.surgery", owner="support@example.com", model="local:m")
    features.forget("tests.surgery")
    declared.forget("tests.surgery")


KNOWN = {"patient": {"name": PERSON}}


def policies(settings: Any, **more: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": more}


def texts() -> str:
    return "\n".join(f"{row.request}\n{row.response}" for row in Payload.objects.all())


def nothing_is_kept(caplog: pytest.LogCaptureFixture | None = None) -> bool:
    assert Call.objects.filter(state="settled").exists()
    for word in (PERSON, "Zwart", NUMBER, "booked"):
        assert caplog is None or word not in caplog.text
    return not Payload.objects.exists()


# --- each way through the door ------------------------------------------------------------------------


def test_request_and_answer_are_kept_without_findings(surgery: Feature) -> None:
    reply = surgery.invoke(SAID, user=7, known=KNOWN)
    row = Payload.objects.get()
    assert (str(row.call), row.feature, row.subject) == (reply.call, "tests.surgery", pseudonym(7))
    assert (row.policy, row.encryption, row.detectors[:5]) == ("redact", "", "pack:")
    assert json.loads(row.request) == [
        {"role": "user", "content": "I am [PATIENT_NAME_1], NHS number [NHS_1], [EMAIL_1]."}
    ]
    assert json.loads(row.response) == {
        "role": "assistant",
        "content": "Thank you [PATIENT_NAME_1]: [NHS_1] is booked.",
    }
    assert row.entities == {"EMAIL": 1, "NHS": 2, "PATIENT_NAME": 2}
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert PERSON in reply.text  # the caller's own copy is whole


def ainvoke(surgery: Feature) -> None:
    asyncio.run(surgery.ainvoke(SAID, known=KNOWN))


def stream(surgery: Feature) -> None:
    assert "".join(surgery.stream(SAID, known=KNOWN).text())


def astream(surgery: Feature) -> None:
    async def read() -> None:
        async for _ in await surgery.astream(SAID, known=KNOWN):
            pass

    asyncio.run(read())


def batch(surgery: Feature) -> None:
    (reply,) = surgery.batch([SAID], known=KNOWN)
    assert not isinstance(reply, Exception), reply


def chat_model(surgery: Feature) -> None:
    with context.use(known=KNOWN):
        surgery.chat_model().invoke([HumanMessage(SAID)])


def fallbacks(surgery: Feature) -> None:
    model = surgery.chat_model()
    with context.use(known=KNOWN):
        model.with_fallbacks([model]).batch([SAID])


WAYS = [ainvoke, stream, astream, batch, chat_model, fallbacks]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whichever_way_it_is_asked(way: Any, surgery: Feature) -> None:
    way(surgery)
    row = Payload.objects.get()
    assert json.loads(row.request)[0]["content"] == "I am [PATIENT_NAME_1], NHS number [NHS_1], [EMAIL_1]."
    assert json.loads(row.response)["content"].strip() == "Thank you [PATIENT_NAME_1]: [NHS_1] is booked."
    assert row.call == Call.objects.get().pk


def test_a_stream_that_is_left_keeps_what_came(surgery: Feature, server: ChatServer) -> None:
    stream = surgery.stream(SAID, known=KNOWN)
    pieces = iter(stream)
    for _ in range(5):
        next(pieces)
    stream.close()
    said = json.loads(Payload.objects.get().response)["content"]
    assert said.startswith("Thank you [PATIENT_NAME_1]:")
    assert "booked" not in said
    assert NUMBER[:3] in said or "[NHS" not in said  # no whole number came yet


def test_tools_are_kept_with_their_arguments(surgery: Feature, server: ChatServer) -> None:
    server.arguments = json.dumps({"patient": PERSON, "nhs": {"number": int(NUMBER.replace(" ", ""))}})
    asked = [
        SystemMessage("Be kind."),
        HumanMessage("Book it."),
        AIMessage("", tool_calls=[{"id": "c0", "name": "look_up", "args": {"email": "wz@example.org"}}]),
        ToolMessage(f'{{"name": "{PERSON}", "nhs": "{NUMBER}"}}', tool_call_id="c0"),
    ]
    with context.use(known=KNOWN):
        tool = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
        surgery.chat_model().bind_tools([tool]).invoke(asked[:2])
        surgery.chat_model().invoke(asked)
    first, second = Payload.objects.order_by("at")
    (called,) = json.loads(first.response)["tool_calls"]
    assert called["args"] == {"patient": "[PATIENT_NAME_1]", "nhs": {"number": "[NHS_1]"}}
    system, user, wanted, done = json.loads(second.request)
    assert (system["role"], user["role"], wanted["role"], done["role"]) == (
        "system", "user", "assistant", "tool",
    )  # fmt: skip
    assert wanted["tool_calls"][0]["args"] == {"email": "[EMAIL_1]"}
    assert json.loads(done["content"]) == {"name": "[PATIENT_NAME_1]", "nhs": "[NHS_1]"}
    assert PERSON not in texts()
    assert "943" not in texts()


class Booking(BaseModel):
    order: int


def test_an_answer_by_a_schema_is_kept(surgery: Feature, server: ChatServer) -> None:
    assert surgery.invoke(SAID, schema=Booking, known=KNOWN).parsed == Booking(order=7)
    assert json.loads(Payload.objects.get().response)["content"] == '{"order": 7}'


def test_each_of_several_answers_is_kept(surgery: Feature, server: ChatServer) -> None:
    def three(handler: Handler) -> None:
        whole = handler.completion()
        whole["choices"] = [{**whole["choices"][0], "index": number} for number in range(3)]
        handler.answer(whole)

    server.script = [three]
    with context.use(known=KNOWN):
        surgery.chat_model().invoke(SAID, n=3)
    answers = json.loads(Payload.objects.get().response)
    assert [answer["content"] for answer in answers] == ["Thank you [PATIENT_NAME_1]: [NHS_1] is booked."] * 3


def test_what_is_no_text_is_only_named(surgery: Feature) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    parts = [
        {"type": "text", "text": SAID},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "file", "file": {"file_data": picture, "filename": "zwart.pdf"}},
    ]
    surgery.invoke([HumanMessage(parts)], known=KNOWN)
    content = json.loads(Payload.objects.get().request)[0]["content"]
    assert content[1:] == [{"type": "image_url", "omitted": True}, {"type": "file", "omitted": True}]
    assert "iVBOR" not in texts()


def test_every_attempt_is_kept_with_the_same_placeholders(surgery: Feature, server: ChatServer) -> None:
    server.script = [status(500), echo(400)]
    with pytest.raises(ProviderRefused):
        surgery.invoke(SAID, known=KNOWN)
    first, second = Payload.objects.order_by("at")
    assert first.request == second.request
    assert (first.response, second.response) == ("", "")
    assert {first.call, second.call} == set(Call.objects.values_list("pk", flat=True))
    assert PERSON not in texts()


@pytest.mark.parametrize(
    "text", ["", "NUL \0 and half a pair \ud83d.", '{"a": "\\u0000"}', "\\u0000", " " * 50_000]
)
def test_texts_that_databases_do_not_like(text: str, surgery: Feature, server: ChatServer) -> None:
    server.reply = text
    asked = text.replace("\ud83d", "") or "Why?"  # no HTTP client sends half a pair
    surgery.invoke([HumanMessage("How?"), HumanMessage(asked)], known=KNOWN)
    row = Payload.objects.get()
    assert [message["content"] for message in json.loads(row.request)] == ["How?", asked]
    assert json.loads(row.response)["content"] == text.replace("\ud83d", "?")


def test_what_a_refused_call_would_have_said_is_not_kept(surgery: Feature) -> None:
    from lockstep.core.models import Feature as FeatureRow

    FeatureRow.objects.create(name="tests.surgery", enabled=False, data_class="internal")
    with pytest.raises(FeatureOff):
        surgery.invoke(SAID, known=KNOWN)
    assert Call.objects.get().state == "refused"
    assert not Payload.objects.exists()


# --- policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data_class", "kept"), [("public", True), ("internal", True), ("personal", False),
                                                  ("special", False)])  # fmt: skip
def test_more_sensitive_data_are_not_kept_unless_somebody_says_so(
    data_class: str, kept: bool, server: ChatServer, price: Price, settings: Any
) -> None:
    ward = feature("tests.ward", owner="w@example.com", model="local:m", data_class=data_class)
    try:
        ward.invoke("How?")
        assert Payload.objects.exists() is kept
        policies(settings, policies={"tests.ward": "metadata" if kept else "redact"})
        ward.invoke("How?")
        assert Payload.objects.count() == 1
    finally:
        features.forget("tests.ward")


def test_of_work_without_a_feature_nothing_is_kept(server: ChatServer, price: Price) -> None:
    from lockstep.llm.providers import chat_model, route

    chat_model(route("local:m", None)).invoke("How?")
    assert nothing_is_kept()


def test_nothing_is_kept_where_nobody_said_who_is_known(
    surgery: Feature, caplog: pytest.LogCaptureFixture
) -> None:
    assert surgery.invoke(SAID).text
    assert nothing_is_kept(caplog)
    assert "of tests.surgery is kept, because it could not be redacted: KnownError" in caplog.text


class Breaks:
    """A detector that fails at the answer, when the request has been looked through already."""

    version = "breaks"
    reach = None

    def find(self, text: str) -> list[Any]:
        if "booked" in text:
            raise ValueError(text)
        return []


class Hangs(Breaks):
    def find(self, text: str) -> list[Any]:
        time.sleep(0.5)
        return []


@pytest.mark.parametrize(("kind", "why"), [("Breaks", "raised ValueError"), ("Hangs", "took too long")])
def test_a_detector_that_fails_keeps_nothing_of_the_call_and_the_call_succeeds(
    kind: str, why: str, surgery: Feature, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    policies(settings, detectors={"own": {"BACKEND": f"{__name__}.{kind}"}}, timeout_s=0.1)
    assert PERSON in surgery.invoke(SAID, known=KNOWN).text
    assert nothing_is_kept(caplog)
    assert why in caplog.text


def test_of_what_is_too_long_nothing_is_kept(
    surgery: Feature, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    policies(settings, most_characters=200)
    surgery.invoke(SAID, known=KNOWN)
    assert Payload.objects.count() == 1
    surgery.invoke(SAID + " " * 200, known=KNOWN)
    assert Payload.objects.count() == 1
    assert "TooLong" in caplog.text


def test_a_lifetime_that_the_database_refuses_is_an_error_before_it_is_lost(settings: Any) -> None:
    policies(settings, keep={"tests.surgery": timedelta(days=90)})
    assert check_lifetimes() == []
    policies(settings, keep={"tests.surgery": timedelta(days=91)})
    (error,) = check_lifetimes()
    assert (error.id, "91 days" in error.msg, "90" in error.msg) == ("lockstep_privacy.E004", True, True)


@pytest.mark.parametrize("wrong", [7, timedelta(0), timedelta(days=-1)])
def test_a_lifetime_is_a_time(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a timedelta of more than nothing"):
        PrivacySettings(keep={"tests.surgery": wrong})


def test_a_feature_may_have_a_lifetime_of_its_own(surgery: Feature, settings: Any) -> None:
    policies(settings, keep={"tests.surgery": timedelta(days=3)})
    surgery.invoke(SAID, known=KNOWN)
    row = Payload.objects.get()
    assert row.expires_at - row.at == timedelta(days=3)


# --- of whom nothing may be kept any more -----------------------------------------------------------


def test_of_a_person_who_is_erased_during_a_call_nothing_is_kept(
    surgery: Feature, caplog: pytest.LogCaptureFixture
) -> None:
    stream = surgery.stream(SAID, user=7, known=KNOWN)
    next(iter(stream))
    erase("7", actor="dpo@example.org")
    assert "".join(stream.text())
    assert nothing_is_kept(caplog)
    assert Call.objects.get().user_key == ""
    assert "is not kept" not in caplog.text


@pytest.mark.usefixtures("transactional_db")
def test_while_a_person_is_being_erased_their_calls_are_settled_and_nothing_is_kept(surgery: Feature) -> None:
    stream = surgery.stream(SAID, user=8, known=KNOWN)
    next(iter(stream))
    with session() as link, link.transaction():
        link.execute(f"SELECT pg_advisory_xact_lock({LOCK.format(key='%s')})", [pseudonym(8)])
        assert "".join(stream.text())
        surgery.invoke(SAID, user=7, known=KNOWN)
    assert set(Call.objects.values_list("state", flat=True)) == {"settled"}
    assert Payload.objects.get().subject == pseudonym(7)


# --- where it cannot be kept ------------------------------------------------------------------------


def test_a_call_is_settled_even_where_its_content_cannot_be_kept(
    surgery: Feature, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    policies(settings, keep={"tests.surgery": timedelta(days=400)})  # longer than the database accepts
    reply = surgery.invoke(SAID, known=KNOWN)
    row = Call.objects.get()
    assert (row.state, row.outcome, row.cost_micros) == ("settled", "ok", reply.cost_micros)
    assert nothing_is_kept(caplog)
    assert f"call {reply.call} is not kept: 23514" in caplog.text


def test_a_message_like_no_other_costs_only_the_content(
    surgery: Feature, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lockstep.llm.door.answer", lambda said: {}["booked"])
    assert surgery.invoke(SAID, known=KNOWN).text
    assert nothing_is_kept()
    assert "is not kept: KeyError" in caplog.text


def test_without_privacy_nothing_is_collected(surgery: Feature, caplog: pytest.LogCaptureFixture) -> None:
    with ports.contents.override(ports.NoContents()), caplog.at_level(logging.DEBUG, "lockstep"):
        surgery.invoke(SAID)
    assert nothing_is_kept(caplog)
    assert not caplog.records or "not kept" not in caplog.text
