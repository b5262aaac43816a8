"""Signed requests, as `Standard Webhooks <https://www.standardwebhooks.com>`_ has them: made by the webhook sink,
checked by receivers.

=====================  ============================================================================
``webhook-id``         names the message; the same when it is sent again
``webhook-timestamp``  when it was sent, in seconds since 1970
``webhook-signature``  ``v1,`` and base64 of HMAC-SHA256 over ``id.timestamp.body``; several, with
                       a space between, while a secret is being changed
=====================  ============================================================================
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Iterable, Mapping

from lockstep.core.exceptions import SignatureError

__all__ = ["TOLERANCE_S", "key", "sign", "verify"]

TOLERANCE_S = 300.0
"""A request may be so old, or so far ahead."""
SHORTEST = 16


def sign(id: str, body: bytes, secrets: Iterable[str], *, now: float | None = None) -> dict[str, str]:  # noqa: A002
    """The headers of a request."""
    at = str(int(time.time() if now is None else now))
    made = [_signature(key(secret), id, at, body) for secret in secrets]
    return {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": " ".join(made)}


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> str:
    """Check a request before anything in it is believed.

    Args:
        body: exactly the bytes that came: ``request.body``.
        headers: of the request, in any case: ``request.headers``.
        secret: the sender's; several separated by spaces while it is being changed.
        tolerance_s: an older request is refused, so that nobody can send it again later. Within this time remember the
            ids: one that was seen is a repetition.

    Returns:
        The id of the message.

    Raises:
        SignatureError: the request is not to be believed.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")  # noqa: A001
    signatures = given.get("webhook-signature", "").split()
    if not id or not signatures or not (at.isascii() and at.isdigit() and len(at) <= 12):
        raise SignatureError("The request has no signature: webhook-id, -timestamp or -signature is missing.")
    if abs((time.time() if now is None else now) - int(at)) > tolerance_s:
        raise SignatureError("The request is too old, or the clocks differ.")
    expected = [_signature(key(one), id, at, body).encode() for one in secret.split()]
    matches = [hmac.compare_digest(one, found.encode()) for one in expected for found in signatures]
    if not any(matches):
        raise SignatureError("The signature is not of this secret, or the request was changed.")
    return id


def key(secret: str) -> bytes:
    """The bytes of a secret.

    Raises:
        ValueError: it is too short, or no base64 after ``whsec_``.
    """
    if secret.startswith("whsec_"):
        try:
            made = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("what follows whsec_ is no base64.") from None
    else:
        made = secret.encode()
    if len(made) < SHORTEST:
        raise ValueError(f"the secret is shorter than {SHORTEST} bytes.")
    return made


def _signature(key: bytes, id: str, at: str, body: bytes) -> str:  # noqa: A002
    digest = hmac.digest(key, f"{id}.{at}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
