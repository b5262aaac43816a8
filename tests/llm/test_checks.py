"""What ``manage.py check`` finds before a call does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks

from lockstep.contrib.sentry import init_options
from lockstep.core import features
from lockstep.llm.checks import TRACING

OPENAI = "lockstep.llm.providers.openai.OpenAI"
PROVIDERS = {
    "openai": {"BACKEND": OPENAI},
    "messages": {"BACKEND": "lockstep.llm.providers.anthropic.Anthropic"},
    "vllm": {"BACKEND": OPENAI, "OPTIONS": {"base_url": "http://127.0.0.1:8000/v1"}},
    "gateway": {
        "BACKEND": OPENAI,
        "OPTIONS": {"base_url": "http://127.0.0.1:9000/v1", "api_key_env": "GATEWAY_KEY"},
    },
    "standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"},
    "broken": {"BACKEND": "nowhere.Provider"},
}


@pytest.fixture(autouse=True)
def clean(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TRACING, "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GATEWAY_KEY"):
        monkeypatch.delenv(name, raising=False)
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": PROVIDERS}}


@pytest.fixture
def declare() -> Iterator[Any]:
    made: list[str] = []

    def declare(name: str, model: str) -> None:
        features.declare(name, model=model)
        made.append(name)

    yield declare
    for name in made:
        features.forget(name)


def found(*wanted: str) -> list[Any]:
    messages = run_checks(tags=["lockstep"])
    return [message for message in messages if message.id in {f"lockstep_llm.{code}" for code in wanted}]


@pytest.mark.parametrize("name", TRACING)
@pytest.mark.parametrize("value", ["true", "1", "True"])
def test_langsmith_switched_on_is_an_error_that_says_what_to_unset(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    [error] = found("E001")
    assert error.is_serious()
    assert error.hint.startswith(f"unset {name} for every process")
    assert "allow_langsmith" in error.hint


@pytest.mark.parametrize("value", ["", "false", "False", "0"])
def test_langsmith_switched_off_is_fine(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", value)
    assert found("E001") == []


def test_langsmith_may_be_allowed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
    assert len(found("E001")) == 1
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"providers": PROVIDERS, "allow_langsmith": True}}
    assert found("E001") == []


def test_langchain_traces_exactly_when_the_check_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are langsmith's own: a new one there has to come here."""
    from langsmith.utils import get_env_var, tracing_is_enabled

    for name in TRACING:
        get_env_var.cache_clear()  # type: ignore[attr-defined]
        monkeypatch.setenv(name, "true")
        assert (tracing_is_enabled(), len(found("E001"))) == (True, 1)
        monkeypatch.delenv(name)
    get_env_var.cache_clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "variable"), [("openai:gpt-5-mini", "OPENAI_API_KEY"), ("messages:large", "ANTHROPIC_API_KEY"),
                            ("gateway:m", "GATEWAY_KEY")],
)  # fmt: skip
def test_a_missing_key_is_a_warning_with_the_name_of_its_variable(
    model: str, variable: str, declare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare("tests.one", model)
    declare("tests.two", model)
    [warning] = found("W002")
    assert not warning.is_serious()
    assert warning.msg.startswith(f"{variable} is not set")
    assert "used by tests.one, tests.two" in warning.msg
    assert variable in warning.hint
    monkeypatch.setenv(variable, "a key")
    assert found("W002") == []


@pytest.mark.parametrize("model", ["vllm:m", "standin:quoting", ""])
def test_who_needs_no_key_is_not_asked_for_one(model: str, declare: Any) -> None:
    declare("tests.one", model)
    assert found("E002", "W002") == []


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("opnai:gpt-5-mini", "Did you mean 'openai'?"),
        ("gpt-5-mini", "Write provider:name"),
        ("openai:", "Write provider:name"),
        ("broken:m", "No module named 'nowhere'"),
    ],
)
def test_a_model_without_a_usable_provider_is_an_error(model: str, hint: str, declare: Any) -> None:
    declare("tests.one", model)
    [error] = found("E002")
    assert error.is_serious()
    assert "tests.one" in error.msg
    assert hint in error.hint


def test_wrong_settings_are_left_to_the_check_of_core(settings: Any, monkeypatch: Any, declare: Any) -> None:
    declare("tests.one", "openai:m")
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"provider": {}}}
    assert found("E002", "W002") == []
    assert len(found("E001")) == 1


class Elsewhere:
    """A router that keeps one model in another database."""

    def __init__(self, label: str) -> None:
        self.label = label

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "other" if model._meta.label == self.label else None


def test_a_ledger_in_no_database_is_an_error_with_the_nearest_name(settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"llm": {"database": "defualt"}}
    [error] = found("E003")
    assert error.hint == "Did you mean 'default'?"


def test_a_ledger_in_another_engine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connections

    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    [error] = found("E003")
    assert "no PostgreSQL" in error.msg


@pytest.mark.parametrize(
    ("label", "effect"),
    [("lockstep_core.Feature", "switches off would go on"), ("lockstep_llm.Call", "not show")],
)
def test_a_switch_or_a_ledger_that_is_kept_elsewhere_is_an_error(
    label: str, effect: str, settings: Any
) -> None:
    assert found("E003", "E004") == []
    settings.DATABASE_ROUTERS = [Elsewhere(label)]
    [error] = found("E004")
    assert label in error.msg
    assert effect in error.msg
    assert "'other'" in error.hint


# --- sentry ---------------------------------------------------------------------------------------


@pytest.fixture
def sentry() -> Iterator[Any]:
    """Makes the SDK's client with options; no integration patches anything."""
    sdk = pytest.importorskip("sentry_sdk")
    before = sdk.get_global_scope().client

    def start(*integrations: str, **options: Any) -> None:
        from sentry_sdk.integrations.langchain import LangchainIntegration

        client = sdk.Client(
            dsn="https://key@sentry.invalid/1", default_integrations=False, auto_enabling_integrations=False,
            transport=lambda event: None, **options,
        )  # fmt: skip
        client.integrations |= {name: LangchainIntegration() for name in integrations}
        sdk.get_global_scope().set_client(client)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a transport that is a function
        yield start
    sdk.get_global_scope().set_client(before)


def deployed() -> dict[str | None, str]:
    return {
        message.id: message.msg
        for message in run_checks(tags=["lockstep"], include_deployment_checks=True)
        if message.id in ("lockstep_llm.E005", "lockstep_llm.W004")
    }


def test_sentry_without_our_hooks_is_an_error_before_a_deploy(sentry: Any) -> None:
    assert deployed() == {}
    sentry(before_send=lambda event, hint: event)
    assert (
        "without before_send, before_send_transaction, before_breadcrumb" in deployed()["lockstep_llm.E005"]
    )
    sentry(**init_options(before_send=lambda event, hint: event))
    assert deployed() == {}
    sentry(trace_lifecycle="stream", **init_options())
    assert "without before_send_span of" in deployed()["lockstep_llm.E005"]
    sentry(**init_options(trace_lifecycle="stream"))
    assert deployed() == {}


def test_sentry_that_collects_prompts_is_a_warning(sentry: Any) -> None:
    sentry("langchain", **init_options())
    assert deployed() == {}
    sentry("langchain", **init_options(send_default_pii=True))
    assert "(langchain)" in deployed()["lockstep_llm.W004"]
    sentry(**init_options(send_default_pii=True))
    assert deployed() == {}
    off = {"gen_ai": {"inputs": False, "outputs": False}}
    sentry("langchain", **init_options(send_default_pii=True, data_collection=off))
    assert deployed() == {}
    sentry("langchain", **init_options(data_collection={"gen_ai": {"inputs": True}}))
    assert "lockstep_llm.W004" in deployed()


def test_without_sentry_nothing_is_said_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sentry_sdk", raising=False)
    assert deployed() == {}
