"""How long a provider is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lockstep.core.waiting import pause_s, retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ],
)
def test_the_header_is_read_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}) == seconds


def test_a_date_is_so_many_seconds_ahead() -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    assert 85 < (retry_after_s({"retry-after": format_datetime(at, usegmt=True)}) or 0) <= 90


def test_a_pause_grows_to_its_cap_and_keeps_what_was_asked_for() -> None:
    for attempt, most in ((0, 0.5), (1, 1.0), (2, 2.0), (20, 8.0)):
        drawn = [pause_s(attempt, None, backoff_s=0.5, cap_s=8.0) for _ in range(200)]
        assert 0 <= min(drawn) <= max(drawn) <= most
        assert max(drawn) > most / 2
    assert pause_s(0, 30.0, backoff_s=0.5, cap_s=8.0) >= 30
