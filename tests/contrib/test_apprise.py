"""Notices by Apprise, to a receiver on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lockstep.contrib.apprise import Apprise
from lockstep.core.exceptions import SinkMisconfigured, SinkUnavailable
from lockstep.core.notify import reasons
from lockstep.core.notify.messages import Message
from tests.core.notify.receiver import Receiver, running

# its code for OpenPGP looks for a module that Python is about to drop
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

MESSAGE = Message("12", "budgets.hard", "Spent: support", "All of it.", "error", dedup_key="k")


@pytest.fixture
def receiver(monkeypatch: Any) -> Iterator[Receiver]:
    with running() as started:
        monkeypatch.setenv("ALERTS", started.url.replace("http://", "json://") + "?token=s3cret")
        yield started


def test_a_message_reaches_a_service_of_apprise(receiver: Receiver) -> None:
    Apprise("ALERTS").send(MESSAGE, timeout_s=2)
    Apprise("ALERTS").send(Message("13", "t", "support", resolves=True), timeout_s=2)
    first, second = receiver.told
    assert (first["title"], first["message"], first["type"]) == ("Spent: support", "All of it.", "failure")
    assert (second["title"], second["type"]) == ("Over: support", "success")


def test_a_service_that_does_not_take_it_is_tried_again_and_its_url_is_not_said(receiver: Receiver) -> None:
    receiver.status = 500
    with pytest.raises(SinkUnavailable) as caught:
        Apprise("ALERTS").send(MESSAGE, timeout_s=2)
    assert "s3cret" not in reasons.reason(caught.value)


def test_a_missing_or_unknown_url_is_said_without_it(monkeypatch: Any) -> None:
    monkeypatch.setenv("ALERTS", "nonsense-s3cret")
    with pytest.raises(SinkMisconfigured, match=r"^ALERTS holds no URL that Apprise knows$"):
        Apprise("ALERTS").send(MESSAGE, timeout_s=2)
    monkeypatch.delenv("ALERTS")
    assert list(Apprise("ALERTS").problems()) == ["the environment variable ALERTS is not set"]
