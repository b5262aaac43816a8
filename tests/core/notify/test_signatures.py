"""What a receiver believes."""

from __future__ import annotations

import pytest

from lockstep.core.exceptions import SignatureError
from lockstep.core.notify.signatures import sign, verify
from tests.core.notify.conftest import SECRET

NOW = 1_800_000_000.0
BODY = b'{"subject": "Spent"}'


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of standardwebhooks.com."""
    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [SECRET], now=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_request_is_believed_and_named() -> None:
    headers = {name.title(): value for name, value in sign("lockstep-12", BODY, [SECRET], now=NOW).items()}
    assert verify(BODY, headers, SECRET, now=NOW + 10) == "lockstep-12"


@pytest.mark.parametrize(
    "what", ["body", "id", "timestamp", "signature", "secret", "late", "early", "no time"]
)
def test_a_changed_request_is_not(what: str) -> None:
    headers, body, secret, now = sign("12", BODY, [SECRET], now=NOW), BODY, SECRET, NOW
    if what == "body":
        body = BODY.replace(b"Spent", b"Fine!")
    elif what == "id":
        headers["webhook-id"] = "13"
    elif what == "timestamp":
        headers["webhook-timestamp"] = str(int(NOW) + 1)
    elif what == "signature":
        headers["webhook-signature"] = "v1,AAAA v1a,b"
    elif what == "secret":
        secret = "whsec_" + "A" * 32
    elif what == "no time":
        headers["webhook-timestamp"] = "²"
    else:
        now += {"late": 301, "early": -301}[what]
    with pytest.raises(SignatureError):
        verify(body, headers, secret, now=now)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_request_without_a_header_is_not(missing: str) -> None:
    headers = sign("12", BODY, [SECRET], now=NOW)
    del headers[missing]
    with pytest.raises(SignatureError):
        verify(BODY, headers, SECRET, now=NOW)


def test_an_empty_secret_believes_nobody() -> None:
    headers = sign("12", BODY, [SECRET], now=NOW)
    with pytest.raises(SignatureError):
        verify(BODY, headers, "", now=NOW)
    with pytest.raises(ValueError, match="shorter"):
        sign("12", BODY, ["short"])
