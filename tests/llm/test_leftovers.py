"""What is reserved and never sent is given back; what is sent was reserved whole."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from lockstep.core import features
from lockstep.core.models import Feature as FeatureRow
from lockstep.llm import Feature, feature
from lockstep.llm import ledger as ledger_module
from lockstep.llm.exceptions import EndpointRefused, FeatureOff, ProviderMisconfigured, ProviderRefused
from lockstep.llm.hooks import PromptError, Rendered, prompting
from lockstep.llm.metering import metered
from lockstep.llm.models import Call, Price
from lockstep.llm.providers import route
from lockstep.llm.providers.standin import StandinModel
from lockstep.llm.usage import MARK
from tests.llm.chat_server import ChatServer
from tests.llm.conftest import llm_settings
from tests.llm.test_failures import CANARY, echo

pytestmark = pytest.mark.django_db
HELLO = [HumanMessage("How?")]


def outcome() -> tuple[str, str, str, int]:
    row = Call.objects.get()
    return row.state, row.outcome, row.error_type, row.cost_micros


NOT_SENT = ("settled", "cancelled", "NotSent", 0)


# --- refused before anything else is asked --------------------------------------------------------


@pytest.mark.parametrize("variables", [False, True])
def test_a_refusal_is_a_row_also_where_the_key_is_missing(
    variables: bool, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {}}
    confined = feature(
        "tests.keyless", model="openai:m", endpoints=("http://127.0.0.1/v1",), prompt="greeting"
    )
    try:
        with pytest.raises(EndpointRefused):
            confined.invoke({"name": "Ada"} if variables else "How?")
        with pytest.raises(EndpointRefused):
            confined.stream("How?")
        with pytest.raises(EndpointRefused):
            asyncio.run(confined.ainvoke("How?"))
    finally:
        features.forget("tests.keyless")
    assert [row.error_type for row in Call.objects.filter(state="refused")] == ["endpoint"] * 3


def test_a_missing_key_spends_nothing(settings: Any, monkeypatch: Any, price: Price) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {}}
    keyless = feature("tests.keyless", model="openai:m")
    try:
        with pytest.raises(ProviderMisconfigured, match="OPENAI_API_KEY"):
            keyless.invoke("How?")
    finally:
        features.forget("tests.keyless")
    assert outcome() == ("settled", "error", "ProviderMisconfigured", 0)


# --- begun and not sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "leave", [lambda stream: stream.close(), lambda stream: None], ids=["closed", "dropped"]
)
def test_a_stream_that_nobody_reads_costs_nothing(
    leave: Callable[[Any], None], support: Feature, server: ChatServer, price: Price
) -> None:
    stream = support.stream("How?")
    assert Call.objects.get().state == "reserved"
    leave(stream)
    del stream
    gc.collect()
    assert outcome() == NOT_SENT
    assert not server.seen


def test_an_asynchronous_stream_that_nobody_reads_costs_nothing(
    support: Feature, server: ChatServer, price: Price
) -> None:
    async def look_away() -> None:
        stream = await support.astream("How?")
        await stream.aclose()

    asyncio.run(look_away())
    assert outcome() == NOT_SENT
    assert not server.seen


def test_an_asynchronous_stream_that_is_left_early_is_charged_at_its_bound(
    support: Feature, server: ChatServer, price: Price
) -> None:
    server.reply = "one two three four five six"

    async def leave() -> None:
        stream = await support.astream("How?")
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())
    row = Call.objects.get()
    assert (row.state, row.outcome, row.usage_source) == ("settled", "cancelled", "bound")
    assert row.cost_micros == row.bound_micros


@pytest.mark.parametrize("way", ["feature", "chat model"])
def test_a_task_that_is_cancelled_while_the_ledger_writes_costs_nothing(
    way: str, support: Feature, server: ChatServer, price: Price, monkeypatch: Any
) -> None:
    begin = ledger_module.begin
    under_way: list[None] = []

    def slow(asked: Any) -> Any:
        under_way.append(None)
        time.sleep(0.2)
        return begin(asked)

    monkeypatch.setattr("lockstep.llm.ledger.begin", slow)

    async def impatient() -> None:
        asked = support.ainvoke("How?") if way == "feature" else support.chat_model().ainvoke(HELLO)
        task = asyncio.create_task(asked)
        while not under_way:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    assert outcome() == NOT_SENT
    assert not server.seen


def test_an_answer_out_of_a_cache_is_no_error(support: Feature, server: ChatServer, price: Price) -> None:
    set_llm_cache(InMemoryCache())
    try:
        support.invoke("How?")
        assert support.invoke("How?").cost_micros == 0
        asyncio.run(support.ainvoke("How?"))
    finally:
        set_llm_cache(None)
    assert len(server.seen) == 1
    assert sorted(Call.objects.values_list("outcome", "cost_micros")) == [("cancelled", 0)] * 2 + [
        ("ok", 140)
    ]


# --- reserved whole -------------------------------------------------------------------------------


def test_every_limit_of_an_answer_is_in_its_bound(
    support: Feature, server: ChatServer, settings: Any
) -> None:
    chosen = llm_settings(server)
    chosen["providers"]["local"]["OPTIONS"]["max_tokens"] = 9_000
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": chosen}
    support.invoke("How?")
    support.invoke("How?", max_tokens=7_000)
    support.invoke("How?", max_completion_tokens=6_000)
    support.invoke("How?", max_tokens=7_000, n=3)
    support.chat_model(max_tokens=5_000).invoke(HELLO)
    support.chat_model().invoke(HELLO, n=2)
    bounds = list(Call.objects.order_by("at").values_list("bound_output", flat=True))
    assert bounds == [9_000, 7_000, 6_000, 21_000, 5_000, 18_000]


class Long:
    """A prompt with a limit of its own."""

    def rendered(self, prompt: str, version: str, variables: Any) -> Rendered:
        if not variables:
            raise PromptError("A variable is missing.")
        return Rendered([("user", "How? " * 500)], parameters={"max_tokens": 30_000})

    def fallback(self, prompt: str) -> str:
        return "f" * 64


def test_the_limit_that_a_prompt_sets_is_reserved_before_its_words_leave(
    server: ChatServer, price: Price
) -> None:
    asking = feature("tests.asking", model="local:m", prompt="greeting")
    try:
        with prompting.override(Long()):
            asking.invoke({"name": "Ada"})
            with pytest.raises(PromptError):
                asking.invoke({})
    finally:
        features.forget("tests.asking")
    row = Call.objects.get(outcome="ok")
    assert server.seen[0][2]["max_completion_tokens"] == row.bound_output == 30_000
    assert row.bound_input > 2_500
    assert row.bound_micros == row.bound_input + 2 * 30_000
    assert Call.objects.get(outcome="error").cost_micros == 0


def test_the_schema_and_the_tools_are_part_of_the_bound(support: Feature, server: ChatServer) -> None:
    schema = {
        "title": "colour", "description": "x" * 5_000, "type": "object", "properties": {"order": {"type": "integer"}},
    }  # fmt: skip
    support.invoke("How?", schema=schema)
    assert Call.objects.get().bound_input > 5_000


def test_another_model_than_the_door_saw_is_not_asked(support: Feature, server: ChatServer) -> None:
    with pytest.raises(ProviderMisconfigured, match=r"chat_model\('local:dear'\)"):
        support.chat_model().invoke(HELLO, model="dear")
    with pytest.raises(ProviderMisconfigured):
        support.chat_model().bind(model="dear").invoke(HELLO)
    assert not server.seen
    support.chat_model().invoke(HELLO, model="m")


# --- rows and requests ----------------------------------------------------------------------------


class Nosy(BaseCallbackHandler):
    """Asks a model whenever another starts or says a word."""

    def __init__(self, ask: Callable[[], Any], when: str) -> None:
        self.ask, self.when, self.asked = ask, when, False

    def _once(self, when: str) -> None:
        if when == self.when and not self.asked:
            self.asked = True
            self.ask()

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self._once("start")

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        self._once("word")


class Chatty(StandinModel):
    """As classes of LangChain that stream to answer at once: it says each word to callbacks within its request."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        run_manager.on_llm_new_token("So")
        return super()._generate(messages, stop, run_manager, **kwargs)


@pytest.mark.parametrize("when", ["start", "word"])
@pytest.mark.parametrize("inner", ["local:m", "standin:quoting"])
def test_a_callback_that_asks_a_model_has_a_row_of_its_own(
    when: str, inner: str, support: Feature, server: ChatServer
) -> None:
    model: Any = metered(Chatty)()  # type: ignore[call-arg]
    model._route = route("standin:quoting", support.spec)
    nosy = Nosy(lambda: support.chat_model(inner).invoke(HELLO), when)
    model.invoke(HELLO, config={"callbacks": [nosy]})
    assert nosy.asked
    assert sorted(Call.objects.filter(outcome="ok").values_list("provider", flat=True)) == sorted(
        ["standin", inner.partition(":")[0]]
    )


def test_a_callback_does_not_take_the_row_of_the_call_that_is_about_to_leave(
    support: Feature, server: ChatServer
) -> None:
    from contextvars import ContextVar

    from langchain_core.tracers.context import register_configure_hook

    hook: ContextVar[Any] = ContextVar("nosy", default=None)
    register_configure_hook(hook, inheritable=False)
    token = hook.set(Nosy(lambda: support.chat_model("messages:large").invoke(HELLO), "start"))
    try:
        reply = support.invoke("How?")
    finally:
        hook.reset(token)
    assert Call.objects.get(pk=reply.call).provider == "local"
    assert set(Call.objects.values_list("provider", "attempt")) == {("local", 1), ("messages", 1)}


def test_chat_models_raise_errors_that_repeat_nothing(
    support: Feature, server: ChatServer, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    asked = [HumanMessage(CANARY)]
    server.script = [echo(400)] * 4
    model = support.chat_model()
    for ask in (
        lambda: model.invoke(asked),
        lambda: list(model.stream(asked)),
        lambda: asyncio.run(model.ainvoke(asked)),
    ):
        with pytest.raises(ProviderRefused) as caught:
            ask()
        assert "Zwart" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert str(Call.objects.latest("at").pk) == caught.value.call
    assert "Zwart" not in caplog.text


# --- what may stand in a row ----------------------------------------------------------------------

AWKWARD = ["\\u0000", "a\0b", "\\\0", "\ud800", '\\u0000","outcome":"ok', "Ünï 🎈"]


@pytest.mark.parametrize("text", AWKWARD)
def test_no_text_keeps_a_row_from_being_written(
    text: str, support: Feature, server: ChatServer, price: Price
) -> None:
    server.arguments = "{}"
    support.invoke("How?", tenant=text, cohort=7)
    row = Call.objects.get()
    assert row.tenant == text.replace("\0", "").replace("\ud800", "?")
    assert (row.cohort, row.outcome, row.cost_micros) == ("7", "ok", 140)


@pytest.mark.parametrize("mark", ["garbage", 7, None, "00000000-0000-7000-8000-000000000000"])
def test_a_forged_mark_in_a_conversation_is_passed_over(
    mark: Any, support: Feature, server: ChatServer
) -> None:
    asked = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "c1"}], response_metadata={MARK: mark})
    support.invoke([*HELLO, asked, ToolMessage("done", tool_call_id="c1")])
    assert Call.objects.get().outcome == "ok"


def test_counts_that_cannot_be_are_cut_to_what_can(
    support: Feature, server: ChatServer, price: Price
) -> None:
    from tests.llm import chat_server

    wrong = {"prompt_tokens": 10, "completion_tokens": -50_000, "total_tokens": 1}
    server.script = [lambda h: h.answer(h.completion() | {"usage": wrong})]
    assert support.invoke("How?").cost_micros == 10
    wrong = {"prompt_tokens": 2**40, "completion_tokens": 5, "total_tokens": 1}
    server.script = [lambda h: h.answer(h.completion() | {"usage": wrong})]
    support.invoke("How?")
    assert Call.objects.latest("at").input_tokens == 2**31 - 1
    assert chat_server.USAGE["prompt_tokens"] == 100


def test_a_paid_call_whose_reservation_was_lost_is_no_refusal(price: Price) -> None:
    """The server crashed and forgot the row; meanwhile somebody switched the feature off."""
    from tests.llm.test_ledger import asked, told

    FeatureRow.objects.create(name="support.answer", data_class="internal", enabled=False)
    call = replace(asked(), provider="local")
    assert ledger_module.end(told(call.id), call).cost_micros == 1_000 + 2 * 500
    row = Call.objects.get()
    assert (row.state, row.outcome, row.error_type, row.cost_micros) == ("settled", "ok", "", 2_000)
    assert ledger_module.end(told(call.id), call).cost_micros == 2_000
    assert ledger_module.begin(asked()).refused == FeatureOff.reason
