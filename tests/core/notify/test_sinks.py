"""What sinks send, and what they may say when it is not taken."""

from __future__ import annotations

import json
import logging
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import mail

from lockstep.core.exceptions import SinkError, SinkMisconfigured, SinkRefused, SinkTimeout, SinkUnavailable
from lockstep.core.notify import reasons, signatures
from lockstep.core.notify.deliverer import send_now
from lockstep.core.notify.messages import Message
from lockstep.core.notify.sinks import Log, Mail, PagerDuty, Webhook
from lockstep.core.notify.sinks.http import checked, post
from tests.core.notify.conftest import SECRET
from tests.core.notify.receiver import Receiver, certificate, running

MESSAGE = Message(
    "12", "budgets.hard", "Spent: support", "All of it.", "error", "k", facts={"limit": 5, "who": "a"}
)


@pytest.fixture
def hooked(receiver: Receiver, monkeypatch: Any) -> Receiver:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    return receiver


def hook(receiver: Receiver, **options: Any) -> Webhook:
    return Webhook(**{"secret_env": "HOOK_SECRET", "url": receiver.url, **options})


# --- webhook ----------------------------------------------------------------------------------------


def test_a_webhook_is_signed_so_that_its_receiver_can_tell(hooked: Receiver) -> None:
    hook(hooked).send(MESSAGE, timeout_s=2)
    headers, body = hooked.requests[0]
    assert signatures.verify(body, headers, SECRET) == "lockstep-12"
    assert json.loads(body)["subject"] == "Spent: support"
    assert headers["content-type"] == "application/json"


def test_a_webhook_sent_again_has_the_same_id(hooked: Receiver) -> None:
    for _ in range(2):
        hook(hooked, source="shop").send(MESSAGE, timeout_s=2)
    assert [headers["webhook-id"] for headers, _ in hooked.requests] == ["shop-12"] * 2


def test_while_a_secret_is_changed_both_are_good(hooked: Receiver, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOOK_SECRET", f"{SECRET} another-secret-of-mine")
    hook(hooked).send(MESSAGE, timeout_s=2)
    headers, body = hooked.requests[0]
    assert signatures.verify(body, headers, SECRET)
    assert signatures.verify(body, headers, "another-secret-of-mine")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None), (202, None), (301, SinkUnavailable), (302, SinkUnavailable), (307, SinkUnavailable),
        (400, SinkRefused), (401, SinkUnavailable), (404, SinkUnavailable), (413, SinkRefused),
        (422, SinkRefused), (429, SinkUnavailable), (500, SinkUnavailable), (503, SinkUnavailable),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, kind: type[SinkError] | None, hooked: Receiver) -> None:
    hooked.status, hooked.body = status, b"the answer says: s3cret"
    with running() as elsewhere:
        hooked.answers = {"Location": elsewhere.url, "Retry-After": "7"}
        if kind is None:
            hook(hooked).send(MESSAGE, timeout_s=2)
        else:
            with pytest.raises(kind, match=rf"^127.0.0.1 answered {status}") as caught:
                hook(hooked).send(MESSAGE, timeout_s=2)
            assert caught.value.retry_after_s == 7
            assert reasons.is_down(caught.value) is (kind is SinkUnavailable)
            assert "s3cret" not in reasons.reason(caught.value)
        assert elsewhere.requests == []


def test_a_certificate_that_nobody_signed_is_not_trusted(tmp_path: Path) -> None:
    with running(certificate(tmp_path)) as receiver:
        with pytest.raises(SinkUnavailable, match=r"certificate not trusted .*self.signed"):
            post(receiver.url, b"{}", {}, timeout_s=2)
        assert receiver.requests == []


def test_a_certificate_that_the_system_trusts_will_do(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))
    with running(tmp_path / "both.pem") as receiver:
        post(receiver.url, b"{}", {}, timeout_s=2)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("how", ["hang", "dribble"])
@pytest.mark.parametrize("tls", [False, True])
def test_who_does_not_answer_in_time_is_cut_also_when_he_never_stops_talking(
    how: str, tls: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    if tls:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))
    with running(tmp_path / "both.pem" if tls else None) as receiver:
        setattr(receiver, how, True)
        began = time.monotonic()
        with pytest.raises(SinkTimeout, match=r"no answer within 0.3 s"):
            post(receiver.url, b"{}", {}, timeout_s=0.3)
        assert time.monotonic() - began < 2


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SinkUnavailable, match=r"^127.0.0.1: Connection refused$"):
        post(f"http://127.0.0.1:{port}/?token=s3cret", b"{}", {}, timeout_s=2)


def test_a_line_that_is_no_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            with server.accept()[0] as line:
                line.recv(1000)
                line.sendall(b"220 mail.example.com s3cret\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SinkUnavailable) as caught:
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, timeout_s=2)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example.com/s3cret", "must be https"),
        ("http://10.0.0.1/s3cret", "must be https"),
        ("http://127.0.0.1.example.com/", "must be https"),
        ("ftp://example.com/s3cret", "is no URL"),
        ("s3cret", "is no URL"),
        ("https://", "is no URL"),
        ("https://example.com:no/s3cret", "is no URL"),
        ("https://user:s3cret@example.com/", "user or password"),
        ("https://example.com/a\r\nX-Injected: s3cret", "characters"),
    ],
)
def test_urls_that_nothing_is_posted_to(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        checked(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/", "http://127.0.0.9/", "http://[::1]:1/", "https://example.com"]
)
def test_urls_that_may_be_posted_to(url: str) -> None:
    assert checked(url) == url


def test_a_webhook_says_what_it_lacks(monkeypatch: Any) -> None:
    monkeypatch.delenv("HOOK_URL", raising=False)
    monkeypatch.setenv("HOOK_SECRET", "short")
    sink = Webhook(secret_env="HOOK_SECRET", url_env="HOOK_URL")
    assert list(sink.problems()) == [
        "the environment variable HOOK_URL is not set",
        "HOOK_SECRET: the secret is shorter than 16 bytes.",
    ]
    monkeypatch.setenv("HOOK_URL", "http://hooks.example.com/s3cret")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert list(sink.problems()) == [
        "HOOK_URL must be https: what is sent by http can be read and changed on its way."
    ]
    with pytest.raises(SinkMisconfigured, match="must be https"):
        sink.send(MESSAGE, timeout_s=1)


def test_secrets_are_in_no_attribute_of_a_sink(hooked: Receiver, monkeypatch: Any) -> None:
    monkeypatch.setenv("PD_KEY", "R0UT1NG")
    for sink in (hook(hooked), PagerDuty("PD_KEY")):
        assert not [value for value in vars(sink).values() if value in (SECRET, "R0UT1NG")]


# --- PagerDuty ----------------------------------------------------------------------------------------


def test_pagerduty_gets_triggers_and_resolves_of_one_key(receiver: Receiver, monkeypatch: Any) -> None:
    monkeypatch.setenv("PD_KEY", "R0UT1NG")
    sink = PagerDuty("PD_KEY", url=receiver.url, source="shop")
    receiver.status = 202
    sink.send(MESSAGE, timeout_s=2)
    sink.send(Message("13", "budgets.hard", "Over", dedup_key="k", resolves=True), timeout_s=2)
    sink.send(Message("14", "jobs.failed", "", "x" * 20_000), timeout_s=2)
    trigger, resolve, alone = receiver.told
    assert (trigger["event_action"], trigger["dedup_key"], trigger["routing_key"]) == (
        "trigger",
        "k",
        "R0UT1NG",
    )
    payload = trigger["payload"]
    assert (payload["summary"], payload["severity"], payload["source"]) == ("Spent: support", "error", "shop")
    assert payload["custom_details"]["limit"] == 5
    assert resolve == {"routing_key": "R0UT1NG", "event_action": "resolve", "dedup_key": "k"}
    assert alone["dedup_key"] == "shop-14"  # the same when it is sent again
    assert alone["payload"]["summary"] == "jobs.failed"


# --- mail ---------------------------------------------------------------------------------------------


def test_a_mail_goes_to_all_and_hangs_together_with_its_incident(settings: Any) -> None:
    sink = Mail(to=["Ann <ann@example.com>", "bob@example.com"])
    sink.send(MESSAGE, timeout_s=2)
    sink.send(Message("13", "budgets.hard", "support", dedup_key="k", resolves=True), timeout_s=2)
    first, second = mail.outbox
    assert first.to == ["Ann <ann@example.com>", "bob@example.com"]
    assert first.subject == "[Django] Spent: support"
    assert "limit: 5" in first.body
    assert second.subject == "[Django] Over: support"
    assert first.extra_headers["References"] == second.extra_headers["References"]
    assert first.extra_headers["Message-ID"].startswith("<lockstep.12@")


def test_a_mail_goes_to_admins_where_nobody_is_named(settings: Any) -> None:
    sink = Mail()
    settings.ADMINS = []
    assert list(sink.problems())
    with pytest.raises(SinkMisconfigured):
        sink.send(MESSAGE, timeout_s=2)
    settings.ADMINS = [("Ann", "ann@example.com")]
    sink.send(MESSAGE, timeout_s=2)
    assert mail.outbox[0].to == ["ann@example.com"]


def test_line_breaks_of_a_subject_are_no_headers(db: None, sinks: Callable[..., None]) -> None:
    from lockstep.core import ports
    from lockstep.core.notify.deliverer import deliver

    sinks({"mail": {"BACKEND": "lockstep.core.notify.sinks.Mail", "OPTIONS": {"to": ["a@example.com"]}}})
    ports.notify.get().send(ports.Notice("budgets.hard", "one\r\nBcc: eve@example.com", body="b\0"))
    deliver()
    assert mail.outbox[0].subject == "[Django] one Bcc: eve@example.com"
    assert mail.outbox[0].message().as_bytes()


@pytest.mark.parametrize("to", ["ann@example.com", ["nobody"]])
def test_recipients_that_are_none_are_refused_when_the_sink_is_built(to: Any) -> None:
    with pytest.raises(ValueError, match="address"):
        Mail(to=to)


def test_what_a_mail_server_says_is_not_kept() -> None:
    error = smtplib.SMTPAuthenticationError(535, b"user ann, password hunter2")
    assert reasons.reason(error) == "SMTPAuthenticationError: answered 535"
    assert (
        reasons.reason(smtplib.SMTPRecipientsRefused({"ann@example.com": (550, b"no")}))
        == "SMTPRecipientsRefused"
    )
    assert reasons.reason(ConnectionRefusedError(111, "x")) == "ConnectionRefusedError: Connection refused"
    assert reasons.reason(ssl.SSLError("x")) == "SSLError"


# --- the rest -----------------------------------------------------------------------------------------


def test_the_log_sink_logs_at_the_level_of_the_notice(caplog: pytest.LogCaptureFixture) -> None:
    Log().send(MESSAGE, timeout_s=2)
    assert caplog.records[0].levelno == logging.ERROR
    assert "All of it." in caplog.text


def test_a_message_can_be_sent_at_once_and_is_cut_too(sinks: Callable[..., None]) -> None:
    backend = "tests.core.notify.sinks"
    sinks({"m": {"BACKEND": f"{backend}.Memory"}, "h": {"BACKEND": f"{backend}.Hanging"}}, timeout_s=0.1)
    send_now("m", MESSAGE)
    with pytest.raises(SinkTimeout):
        send_now("h", MESSAGE)
    with pytest.raises(SinkMisconfigured, match="Known: h, m"):
        send_now("nothing", MESSAGE)
