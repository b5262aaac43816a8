"""With the real SDK, its integrations and a transport of ours: what was said to a model reaches no envelope."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep.contrib.sentry import WITHHELD, Scrubber, init_options
from lockstep.core import context, features, ports
from tests.committed import transactional_db
from tests.contrib import sentry_worker as worker
from tests.llm.chat_server import ChatServer
from tests.llm.conftest import server
from tests.llm.test_failures import echo
from tests.processes import run
from tests.search.workers import environment

__all__ = ["server", "transactional_db"]

CANARIES = (worker.SURNAME, worker.NUMBER, worker.NUMBER.replace(" ", "%20"))
_sent: dict[str, list[tuple[str, Any]]] = {}
"""What left, by how; a process that imports all that Sentry looks for takes ten seconds."""
Report = Callable[[str], "list[tuple[str, Any]]"]


@pytest.fixture
def report(transactional_db: None, server: ChatServer, tmp_path: Path) -> Report:
    """What leaves a process that asks, fails and logs."""
    pytest.importorskip("sentry_sdk")

    def report(how: str) -> list[tuple[str, Any]]:
        if how not in _sent:
            server.reply = worker.ANSWER
            server.script = [None, None, echo(400), echo(400)]
            place, output = tmp_path / "sent.json", tmp_path / "output.txt"
            env = {**environment(), "TEST_KEY": "a key"}
            arguments = server.url, how, str(place)
            status = run(worker.report, *arguments, environment=env, output=output, timeout_s=120)
            assert status == 0, output.read_text()[-3000:]
            _sent[how] = json.loads(place.read_text())
        return _sent[how]

    return report


def leaks(content: Any) -> bool:
    text = json.dumps(content, ensure_ascii=False)
    return any(canary in text for canary in CANARIES)


def places(sent: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """What an envelope can hold, by its place."""
    for kind, content in sent:
        if kind != "event":
            yield kind, content
            continue
        for key, part in content.items():
            yield f"event {key}", part
        for one in (content.get("exception") or {}).get("values", []):
            yield "locals", [frame.get("vars") for frame in (one.get("stacktrace") or {}).get("frames", [])]


def test_without_the_hooks_it_leaks_from_everywhere(report: Report) -> None:
    leaky = {place for place, part in places(report("bare")) if leaks(part)}
    expected = {
        "locals", "event exception", "event breadcrumbs", "event request", "event contexts", "event extra",
        "event tags", "event logentry", "event message", "attachment", "log", "span", "transaction", "trace_metric",
    }  # fmt: skip
    assert leaky >= expected, expected - leaky


def test_without_the_hooks_spans_that_travel_alone_leak(report: Report) -> None:
    assert "span" in {place for place, part in places(report("bare streamed")) if leaks(part)}


@pytest.mark.parametrize("how", ["hooked", "streamed", "unpolitic"])
def test_with_the_hooks_nothing_that_was_said_reaches_an_envelope(how: str, report: Report) -> None:
    sent = report(how)
    assert [place for place, part in places(sent) if leaks(part)] == []
    kinds = {kind for kind, _ in sent}
    assert {"event", "log", "trace_metric"} <= kinds
    assert "span" in kinds
    assert "attachment" not in kinds


def test_what_is_left_still_tells_what_failed_and_where(report: Report) -> None:
    sent = report("hooked")
    events = [content for kind, content in sent if kind == "event"]
    chains = [
        [one["type"] for one in event["exception"]["values"]] for event in events if "exception" in event
    ]
    assert ["ProviderRefused", "RuntimeError"] in [chain[-2:] for chain in chains]
    wrapped = next(
        event
        for event in events
        if event.get("exception", {}).get("values", [{}])[-1]["type"] == "RuntimeError"
    )
    last = wrapped["exception"]["values"][-1]
    assert last["value"] == WITHHELD
    assert last["stacktrace"]["frames"][-1]["function"] == "failed"
    assert "raise RuntimeError" in last["stacktrace"]["frames"][-1]["context_line"]
    assert "vars" not in last["stacktrace"]["frames"][-1]
    assert wrapped["tags"]["tenant"] == "north"
    assert {crumb["category"] for crumb in wrapped["breadcrumbs"]["values"]} >= {"chat", "httplib"}
    asked = next(event["request"] for event in events if "request" in event)
    assert asked["url"].endswith("/")
    assert asked["method"] == "POST"
    (transaction,) = [
        one for kind, one in sent if kind == "transaction" and one["transaction"] == "answering"
    ]
    described = {span["description"] for span in transaction["spans"]}
    assert "SELECT * FROM patient WHERE name = ?" in described
    assert "GET https://example.org/find" in described
    spans = [span for kind, content in sent if kind == "span" for span in content["items"]]
    assert any(span["attributes"].get("gen_ai.usage.input_tokens", {}).get("value") == 7 for span in spans)


def test_a_hook_of_ones_own_comes_after_ours(report: Report) -> None:
    events = [content for kind, content in report("unpolitic") if kind == "event"]
    assert len(events) >= 4  # theirs drops one that still has the name in it
    assert all(event["tags"] == {"theirs": "was here"} for event in events)


# --- by policy ------------------------------------------------------------------------------------


@pytest.fixture
def redacting() -> Iterator[str]:
    features.declare("tests.redacted", data_class="internal")
    features.declare("tests.silent", data_class="special")
    yield "tests.redacted"
    features.forget("tests.redacted")
    features.forget("tests.silent")


def sent_message(text: str, hooks: Scrubber | None = None) -> str:
    event = (hooks or Scrubber()).before_send({"message": text})
    assert event is not None
    return str(event["message"])


def test_texts_leave_as_the_policy_of_their_feature_has_them(redacting: str) -> None:
    assert sent_message("ring 07700 900123") == WITHHELD
    with context.use(feature="tests.silent"):
        assert sent_message("ring 07700 900123") == WITHHELD
        assert sent_message("ring 07700 900123", Scrubber("tests.redacted")) == WITHHELD
    with context.use(feature=redacting):
        assert sent_message("ring 07700 900123") == "ring [PHONE_1]"
    assert sent_message("ring 07700 900123", Scrubber(redacting)) == "ring [PHONE_1]"


@pytest.mark.parametrize("module", ["openai", "langchain_core.exceptions", "pydantic_core._pydantic_core"])
def test_exceptions_that_quote_what_they_were_given_stay_silent_under_every_policy(
    module: str, redacting: str
) -> None:
    with context.use(feature=redacting):
        event = Scrubber().before_send({"exception": {"values": [{"module": module, "value": "it said so"}]}})
        other = Scrubber().before_send({"exception": {"values": [{"module": "shop", "value": "no stock"}]}})
    assert event is not None
    assert event["exception"]["values"][0]["value"] == WITHHELD
    assert other is not None
    assert other["exception"]["values"][0]["value"] == "no stock"


def test_nothing_is_kept_where_nobody_redacts_or_redaction_fails(redacting: str) -> None:
    class Breaks:
        def redact(self, content: Any, **_: Any) -> None:
            raise ZeroDivisionError

    class Careless:
        def redact(self, content: Any, **_: Any) -> Any:
            return content

    with context.use(feature=redacting):
        with ports.redaction.override(ports.NoRedaction()):
            assert sent_message("a text") == WITHHELD
        for broken in (Breaks(), Careless()):
            with ports.redaction.override(broken):  # type: ignore[arg-type]
                assert "a text" not in sent_message("a text")
                assert "could not be scrubbed" in sent_message("a text")
                assert Scrubber().before_breadcrumb({"message": "a text"}) is None
                assert Scrubber().before_send_log({"body": "a text"}) is None
                assert Scrubber().before_send_transaction({"spans": [{"description": "a text"}]}) is None
                span = Scrubber().before_send_span({"name": "a text", "attributes": {"a": "a text"}})
                assert (span["name"], span["attributes"]) == (WITHHELD, {})


def test_a_redaction_that_reports_its_failure_to_sentry_does_not_go_round_in_circles(redacting: str) -> None:
    hooks, inner = Scrubber(), []

    class Reports:
        def redact(self, content: Any, **_: Any) -> None:
            inner.append(hooks.before_send({"message": "it failed"}))

    with context.use(feature=redacting), ports.redaction.override(Reports()):
        assert sent_message("a text", hooks) == WITHHELD
    assert [event["message"] for event in inner if event] == [WITHHELD]


STRANGE: list[Any] = [
    {}, {"exception": None}, {"exception": {"values": [None, 1, {"value": 5, "stacktrace": {"frames": [None, {}]}}]}},
    {"breadcrumbs": []}, {"breadcrumbs": {"values": [{"message": ["x"]}]}}, {"request": "x", "contexts": ["x"]},
    {"spans": [None, {"data": [], "tags": [["a", "b c"]]}]}, {"tags": [["a", "b"], ["c", "d e"]]}, {"user": "x"},
    {"logentry": "secret words"}, {"message": {"a": "secret words"}},
    {"fingerprint": ["{{ default }}", "secret words"]},
    {"spans": [{"op": "secret words", "status": "secret words", "description": "secret words"}]},
    {"unheard": "secret words"}, {"threads": {"values": [{"stacktrace": {"frames": [{"vars": "secret words"}]}}]}},
]  # fmt: skip


@pytest.mark.parametrize("event", STRANGE, ids=range(len(STRANGE)))
def test_events_of_any_shape_are_scrubbed(event: Any) -> None:
    for hook in (Scrubber().before_send, Scrubber().before_send_transaction):
        left = hook(event, {"attachments": [1]})
        assert left is not None
        assert "secret words" not in json.dumps(left)
        assert "could not be scrubbed" not in json.dumps(left)


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        (
            "SELECT 'a''b', \"c\" FROM t WHERE n = 9434765919 LIMIT 21",
            'SELECT ??, "c" FROM t WHERE n = ? LIMIT ?',
        ),
        ("SELECT 'never closed", "SELECT ?"),
        (r"SELECT E'a\'secret'", "db"),
        ("SELECT $$secret$$", "db"),
        ("SELECT $x$secret$x$", "db"),
        ("SELECT 1 -- secret", "db"),
        ("SELECT /* secret */ 1", "db"),
    ],
)
def test_sql_leaves_without_what_was_written_into_it(statement: str, left: str) -> None:
    event = Scrubber().before_send_transaction({"spans": [{"op": "db", "description": statement}]})
    assert event is not None
    assert event["spans"][0]["description"] == left


def test_options_keep_what_one_says_oneself_and_put_ours_in_front() -> None:
    seen: list[Any] = []

    def mine(event: Any, hint: Any) -> None:
        seen.append(event)

    options = init_options(
        dsn="x", send_default_pii=True, before_send=mine, _experiments={"before_send_log": mine}
    )
    assert (options["dsn"], options["send_default_pii"], options["include_local_variables"]) == (
        "x",
        True,
        False,
    )
    assert options["_experiments"] == {}
    assert options["before_send"]({"message": "a text", "extra": {"a": 1}}, {}) is None
    options["before_send_log"]({"body": "a text"}, {})
    assert [one.get("message") or one.get("body") for one in seen] == [WITHHELD, WITHHELD]
    assert "before_send_span" not in options
    assert "before_send_span" in init_options(trace_lifecycle="stream")


def test_a_hook_of_ones_own_that_fails_lets_nothing_out() -> None:
    def fails(given: Any, hint: Any) -> None:
        raise ZeroDivisionError

    options = init_options(before_breadcrumb=fails, before_send=fails)
    assert options["before_breadcrumb"]({"message": "a text"}, {}) == {"message": WITHHELD}
    with pytest.raises(ZeroDivisionError):  # and the SDK drops the event
        options["before_send"]({"message": "a text"}, {})
