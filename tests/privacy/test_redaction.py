"""What may be kept of texts and structures: placeholders, policies, failures."""

from __future__ import annotations

import dataclasses
import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.core import context, features, ports
from lockstep.core.redacted import Redacted
from lockstep.privacy import checks
from lockstep.privacy.redaction import CallRedactor, failures, redact
from lockstep.privacy.spans import Span
from tests.privacy.canaries import CANARIES, CLEAN

SENTENCES = [sentence.format(value) for rows in CANARIES.values() for value, sentence in rows]
PARTS = st.one_of(
    st.sampled_from([value for rows in CANARIES.values() for value, _ in rows]),
    st.sampled_from(
        [
            "NHS",
            "phone",
            "account",
            "sort code",
            "born",
            "passport",
            "card",
            "call me on",
            "[NHS_1]",
            "[CARD_2?]",
        ]
    ),
    st.sampled_from([" ", "  ", "\n", ", ", "-", ".", "/", "", "é", "\u200b"]),
    st.text(max_size=6),
)
TEXTS = st.lists(PARTS, max_size=12).map("".join)


# placeholders


def test_a_value_has_the_same_placeholder_throughout_a_call_however_it_is_written(feature: str) -> None:
    call = CallRedactor(feature)
    request = call.redact([{"role": "user", "content": "943 476 5919 or 401 023 2137"}])
    answer = call.redact("You said 9434765919.")
    assert request is not None
    assert answer is not None
    assert request.data == [{"role": "user", "content": "[NHS_1] or [NHS_2]"}]
    assert answer.text == "You said [NHS_1]."
    assert (dict(request.counts), dict(answer.counts)) == ({"NHS": 2}, {"NHS": 1})


def test_the_next_call_counts_anew(kept: Callable[..., str]) -> None:
    assert kept("943 476 5919") == kept("401 023 2137") == "[NHS_1]"


def test_everything_but_the_finding_stays_as_it_was(kept: Callable[..., str]) -> None:
    text = "ﬁnd\u200b Ｆull\u00a0width — “943\u00a0476\u00a05919”, naïve\r\n\ttab"
    assert kept(text) == "ﬁnd\u200b Ｆull\u00a0width — “[NHS_1]”, naïve\r\n\ttab"


def test_what_a_user_wrote_like_a_placeholder_is_never_taken_for_ours(kept: Callable[..., str]) -> None:
    assert kept("[NHS_1] is not 943 476 5919") == "[NHS_1] is not [NHS_2]"
    assert kept("943 476 5919 is not [NHS_1]") == "[NHS_1] is not [NHS_1?]"


def test_a_placeholder_hides_no_value(kept: Callable[..., str]) -> None:
    assert kept("[CARD_4012888888881881]") == "[CARD_[CARD_1]]"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_redacting_again_changes_nothing(feature: str, text: str) -> None:
    once = redact(feature, [text])
    assert once is not None
    again = redact(feature, once.data)
    assert again is not None
    assert again.data == once.data


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_no_text_is_too_odd(feature: str, text: str) -> None:
    assert redact(feature, text) is not None


# structures


def test_strings_numbers_and_keys_of_a_structure_are_looked_through(kept: Callable[..., str]) -> None:
    content = {
        "ann@example.org": [1, 2.5, None, True, "fine"],
        "nhs_number": 9434765919,
        "sortCode": "200000",
        "account": {"number": 55779911},
        "when": date(2026, 5, 21),
        "price": Decimal("9.50"),
    }
    assert json.loads(kept(content)) == {
        "[EMAIL_1]": [1, 2.5, None, True, "fine"],
        "nhs_number": "[NHS_1]",
        "sortCode": "[SORT_CODE_1]",
        "account": {"number": "[ACCOUNT_1]"},
        "when": "2026-05-21",
        "price": "9.50",
    }


def test_json_inside_a_string_is_looked_through_and_stays_json(kept: Callable[..., str]) -> None:
    arguments = json.dumps({"to": "ann@example.org", "ni_no": "CE123456"})
    call = {"tool_calls": [{"function": {"name": "send", "arguments": arguments.replace("@", "\\u0040")}}]}
    inner = json.loads(kept(call))["tool_calls"][0]["function"]["arguments"]
    assert json.loads(inner) == {"to": "[EMAIL_1]", "ni_no": "[NINO_1]"}


def test_json_without_a_finding_stays_as_it_was_written(kept: Callable[..., str]) -> None:
    assert json.loads(kept({"a": '{"b":1,  "c": [ ]}'}))["a"] == '{"b":1,  "c": [ ]}'


def test_two_keys_that_look_alike_afterwards_are_both_kept(kept: Callable[..., str]) -> None:
    assert json.loads(kept({"943 476 5919": 1, "9434765919": 2})) == {"[NHS_1]": 1, "[NHS_1]'": 2}


def test_messages_and_dataclasses_count_as_mappings(kept: Callable[..., str]) -> None:
    messages = pytest.importorskip("langchain_core.messages")

    @dataclasses.dataclass
    class Ticket:
        body: str

    content = [messages.HumanMessage("I am ann@example.org"), Ticket("from bob@example.org")]
    found = json.loads(kept(content))
    assert (found[0]["content"], found[0]["type"]) == ("I am [EMAIL_1]", "human")
    assert found[1] == {"body": "from [EMAIL_2]"}


@pytest.mark.parametrize("content", [object(), b"943 476 5919", {"a": {1: object()}}, [socket.socket]])
def test_what_json_does_not_have_is_not_kept(feature: str, content: Any) -> None:
    assert redact(feature, content) is None


def test_a_structure_without_a_bottom_is_not_kept(feature: str) -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert redact(feature, endless) is None


# policies


def test_of_personal_data_nothing_is_kept_unless_the_settings_say_so() -> None:
    features.declare("clinic.triage", data_class="special")
    try:
        assert redact("clinic.triage", "fine weather") is None
        with override_settings(LOCKSTEP={"privacy": {"policies": {"clinic.triage": "redact"}}}):
            copy = redact("clinic.triage", "943 476 5919")
            assert (copy and copy.text, copy and copy.policy) == ("[NHS_1]", "redact")
    finally:
        features.forget("clinic.triage")


def test_without_a_feature_or_with_one_that_nobody_declared_nothing_is_kept(feature: str) -> None:
    assert redact(None, "fine weather") is None
    assert redact("nobody.knows", "fine weather") is None
    with context.use(feature=feature):
        assert redact(None, "fine weather") is not None


def test_off_holds_for_public_data_only_and_is_named_loudly(feature: str) -> None:
    features.declare("site.search", data_class="public")
    try:
        with override_settings(LOCKSTEP={"privacy": {"policies": {feature: "off", "site.search": "off"}}}):
            assert redact(feature, "fine weather") is None
            copy = redact("site.search", "943 476 5919")
            assert (copy and copy.text, copy and copy.policy) == ("943 476 5919", "off")
            assert [one.id for one in checks.check_policies()] == [
                "lockstep_privacy.E001",
                "lockstep_privacy.W001",
            ]
    finally:
        features.forget("site.search")


def test_a_policy_for_nobody_and_an_unknown_detector_are_told_by_the_checks() -> None:
    broken = {"policies": {"surgery.anwser": "redact"}, "detectors": {"own": {"BACKEND": "nowhere.Detector"}}}
    with override_settings(LOCKSTEP={"privacy": broken}):
        assert [one.id for one in checks.check_policies()] == ["lockstep_privacy.W002"]
        assert [one.id for one in checks.check_detectors()] == ["lockstep_privacy.E002"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"policies": {"a": "redcat"}},
        {"defaults": {"public": "off"}},
        {"defaults": {"secret": "redact"}},
        {"timeout_s": 0},
    ],
)
def test_settings_that_cannot_hold_are_refused(feature: str, wrong: dict[str, Any]) -> None:
    with override_settings(LOCKSTEP={"privacy": wrong}):
        assert redact(feature, "fine weather") is None


# the port


def test_the_port_gives_out_copies_and_without_the_app_nothing(feature: str) -> None:
    copy = ports.redaction.get().redact("943 476 5919", feature=feature)
    assert isinstance(copy, Redacted)
    with ports.redaction.override(ports.NoRedaction()):
        assert ports.redaction.get().redact("fine weather", feature=feature) is None


# R4: failing detectors


class Broken:
    """A detector that does what MODE says."""

    version = "broken:1"
    reach: int | None = 10
    mode = "raise"

    def find(self, text: str) -> Sequence[Span]:
        if self.mode == "raise":
            raise RuntimeError(f"cannot read {text}")
        if self.mode == "exit":
            raise SystemExit(text)
        if self.mode == "hang":
            time.sleep(1.5)
        if self.mode == "outside":
            return [Span(0, len(text) + 1, "X")]
        if self.mode == "overlap":
            return [Span(0, 3, "X"), Span(2, 4, "X")]
        if self.mode == "empty":
            return [Span(2, 2, "X")]
        if self.mode == "type":
            return [Span(0, 3, "] ann@example.org [")]
        if self.mode == "other":
            return [(0, 3)]  # type: ignore[list-item]
        return []


BROKEN = {
    "pack": {"BACKEND": "lockstep.privacy.detectors.pack.Pack"},
    "own": {"BACKEND": "tests.privacy.test_redaction.Broken"},
}


@pytest.mark.parametrize("mode", ["raise", "exit", "hang", "outside", "overlap", "empty", "type", "other"])
def test_when_a_detector_fails_nothing_is_kept_and_the_log_says_so_without_content(
    feature: str, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Broken, "mode", mode)
    with override_settings(LOCKSTEP={"privacy": {"detectors": BROKEN, "timeout_s": 0.2}}):
        before = sum(failures().values())
        started = time.monotonic()
        assert redact(feature, "Ann has 943 476 5919") is None
        assert time.monotonic() - started < 1.2
        assert sum(failures().values()) == before + 1
    assert feature in caplog.text
    assert "Broken" in caplog.text
    for secret in ("Ann", "943", "ann@"):
        assert secret not in caplog.text


def test_after_a_failure_nothing_else_of_the_call_is_kept(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with override_settings(LOCKSTEP={"privacy": {"detectors": BROKEN}}):
        monkeypatch.setattr(Broken, "mode", "fine")
        call = CallRedactor(feature)
        assert call.redact("fine") is not None
        monkeypatch.setattr(Broken, "mode", "raise")
        assert call.redact("fine") is None
        monkeypatch.setattr(Broken, "mode", "fine")
        assert call.redact("fine") is None
        assert redact(feature, "fine") is not None


def test_a_detector_of_ones_own_adds_to_the_others(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "find", lambda self, text: [Span(0, 3, "STAFF")])
    with override_settings(LOCKSTEP={"privacy": {"detectors": BROKEN}}):
        copy = redact(feature, "Ann saw 943 476 5919")
    assert copy is not None
    assert copy.text == "[STAFF_1] saw [NHS_1]"
    assert copy.version.startswith("pack:uk-1+broken:1")


# R5: no network


def test_nothing_is_asked_of_the_network(kept: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for sentence in SENTENCES + list(CLEAN):
        kept(sentence)


def test_no_canary_is_left_in_what_is_kept_nor_in_the_log(
    kept: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for rows in CANARIES.values():
        for value, sentence in rows:
            for content in (sentence.format(value), {"tool": json.dumps({"note": sentence.format(value)})}):
                assert value not in kept(content)
                assert value not in caplog.text
