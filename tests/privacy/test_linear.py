"""R6: time grows with the length of a text and no faster, whatever the text is made of."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from lockstep.privacy.detectors.pack import Pack
from lockstep.privacy.scanning import Scanner

HOSTILE = {
    "letters": "a", "digits": "1", "digits apart": "1 ", "dashes": "1-", "letters and digits": "a1", "hex": "0a:",
    "dots": "1.1.",
    "at signs": "@", "addresses": "a@", "dotted addresses": "a.a@a.", "quotes": "a'",
    "schemes": "http://", "logins": "a://a:", "keys": "sk-",
    "tokens": "key a1/", "brackets": "(0", "plus": "+1(", "placeholders": "[A_1]",
    "half placeholders": "[A_",
    "months": "1 jan ", "labels": "phone ", "labelled": "account 1234567 ", "ibans": "GB82 WEST 1234 ",

    "pem": "-----BEGIN PRIVATE KEY-----\na ",
    "zero width": "1\u200b", "wide": "１", "capitals": "AB12 ", "spaces": " ", "lines": "\n1",
    "chained": "+4930901820", "glued": "a@b.co1", "taken": "943 476 5919[NHS_1]",
}  # fmt: skip
LENGTH = 6_000


def seconds(text: str) -> float:
    scanner = Scanner([Pack()], timeout_s=60)
    times = []
    for _ in range(3):
        started = time.thread_time()
        scanner.redact([("", text)], Counter())
        times.append(time.thread_time() - started)
    return min(times)


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_four_times_the_text_takes_about_four_times_as_long(piece: str) -> None:
    short, long = (piece * (size // len(piece)) for size in (LENGTH, 4 * LENGTH))
    assert seconds(long) < 10 * seconds(short) + 0.02
