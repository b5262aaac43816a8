"""Sinks in the settings, and what the checks say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lockstep.core import ports
from lockstep.core.checks import check_settings, check_sinks
from lockstep.core.settings import SinkEntry, settings

MAIL = {"BACKEND": "lockstep.core.notify.sinks.Mail", "OPTIONS": {"to": ["ann@example.com"]}}
Sinks = Callable[..., None]


def said(messages: list[Any]) -> list[tuple[str, str]]:
    return [(message.id.rpartition(".")[2], f"{message.msg} {message.hint}") for message in messages]


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        ({"sinkz": {}}, "notify has an unknown key 'sinkz'. Did you mean 'sinks'?"),
        ({"sinks": {"a": {**MAIL, "TOPIC": []}}}, "unknown key 'TOPIC'. Did you mean 'TOPICS'?"),
        ({"sinks": {"a": {**MAIL, "TOPICS": "budgets.*"}}}, "must be a list of patterns"),
        ({"sinks": {"a": {**MAIL, "LEAST": "loud"}}}, "one of info, warning, error, critical"),
        ({"sinks": {"a": {**MAIL, "PER_MINUTE": 0}}}, "at least 1"),
        ({"sinks": {"a": "mail"}}, "dotted.path"),
        ({"sinks": {"a b": MAIL}}, "an alias has"),
        ({"sinks": []}, "shaped like CACHES"),
        ({"timeout_s": -1}, "positive"),
        ({"keep_days": True}, "positive"),
        ([], "must be a dict"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_check_error(notify: Any, expected: str, settings: Any) -> None:
    settings.LOCKSTEP = {"core": {"notify": notify}}
    found = said(check_settings())
    assert [name for name, _ in found] == ["E001"]
    assert expected in found[0][1]
    assert check_sinks() == []


def test_an_unknown_key_of_core_names_the_nearest(settings: Any) -> None:
    settings.LOCKSTEP = {"core": {"notifi": {}}}
    assert "Did you mean 'notify'?" in said(check_settings())[0][1]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"BACKEND": "lockstep.core.notify.sinks.Mial"}, "Mial"),
        ({**MAIL, "OPTIONS": {"too": []}}, "unknown key 'too'. Did you mean 'to'?"),
        ({"BACKEND": "tests.core.notify.sinks.Broken"}, "it lacks a screw"),
        (
            {
                "BACKEND": "lockstep.core.notify.sinks.Webhook",
                "OPTIONS": {"url": "http://hooks.example.com/", "secret_env": "HOOK_SECRET"},
            },
            "must be https",
        ),
        ({"BACKEND": "lockstep.core.notify.sinks.PagerDuty"}, "routing_key_env"),
    ],
)
def test_a_sink_that_cannot_be_built_is_an_error(entry: Any, expected: str, sinks: Sinks) -> None:
    sinks({"good": MAIL, "ops": entry})
    found = said(check_sinks())
    assert [name for name, _ in found] == ["E002"]
    assert "'ops'" in found[0][1]
    assert expected in found[0][1]


def test_a_missing_extra_is_named(sinks: Sinks, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    for name in [name for name in sys.modules if name.startswith("lockstep.contrib.apprise")]:
        monkeypatch.delitem(sys.modules, name)
    sinks({"slack": {"BACKEND": "lockstep.contrib.apprise.Apprise", "OPTIONS": {"url_env": "SLACK"}}})
    assert "pip install 'django-lockstep[apprise]'" in said(check_sinks())[0][1]


def test_a_variable_that_is_not_set_is_a_warning(sinks: Sinks, monkeypatch: Any) -> None:
    monkeypatch.delenv("PD_KEY", raising=False)
    sinks(
        {"pd": {"BACKEND": "lockstep.core.notify.sinks.PagerDuty", "OPTIONS": {"routing_key_env": "PD_KEY"}}}
    )
    found = said(check_sinks())
    assert [name for name, _ in found] == ["W001"]
    assert "PD_KEY is not set" in found[0][1]


def test_notices_that_nobody_is_told_of_are_mentioned(settings: Any) -> None:
    settings.LOCKSTEP = {}
    with ports.topics.override({"budgets.hard": "spent"}):
        found = said(check_sinks())
    assert [name for name, _ in found] == ["I001"]
    assert "budgets.hard" in found[0][1]
    with ports.topics.override():
        assert check_sinks() == []


def test_entries_are_read_with_their_defaults(sinks: Sinks) -> None:
    sinks({"ops": MAIL, "few": {**MAIL, "TOPICS": ["a.*", "b"], "LEAST": "error", "PER_MINUTE": 2}})
    assert settings().notify.entry("ops") == SinkEntry()
    few = settings().notify.entry("few")
    assert few == SinkEntry(("a.*", "b"), "error", 2)
    assert few.wants("a.x", "critical")
    assert not few.wants("a.x", "warning")
    assert not few.wants("bb", "critical")
