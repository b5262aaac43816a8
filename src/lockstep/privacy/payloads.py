"""Keeping what was said: a redacted copy of request and answer, for as long as its policy allows and no longer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, router

from lockstep.core import ports
from lockstep.core.jsonb import dumps
from lockstep.core.redacted import Redacted, demand
from lockstep.core.retention.conf import lifetimes
from lockstep.privacy.encryption import reveal
from lockstep.privacy.exceptions import EncryptionUnavailable
from lockstep.privacy.policies import METADATA, lifetime_of
from lockstep.privacy.redaction import CallRedactor

if TYPE_CHECKING:
    from lockstep.privacy.models import Payload

__all__ = ["KEEP", "MOST", "Contents", "contents", "keep", "lifetime", "register"]

KEEP = timedelta(days=30)
"""Usual lifetime of a payload."""
MOST = timedelta(days=90)
"""Longest lifetime that the database accepts."""

MODEL = "lockstep_privacy.Payload"


def register() -> None:
    """Tell core which table holds content, for how long, and about whom; and that it may be handed content."""
    ports.retention.register(
        MODEL, ports.Retained(MODEL, ("request", "response", "entities"), keep=KEEP, most=MOST)
    )
    ports.subjects.register(MODEL, ports.Subject(MODEL, "subject", pseudonym=True, show=shown))
    ports.contents.register(contents)


def lifetime(feature: str | None) -> timedelta:
    """How long what is kept of a feature now will be there."""
    usual = lifetimes(ports.retention.get()[MODEL])
    return lifetime_of(feature) or (usual[0] if usual else KEEP)


class Contents:
    """Serves ``core.ports.contents``."""

    def of_call(self, feature: str | None, subject: str) -> CallContent | None:
        redactor = CallRedactor(feature)
        return None if redactor.policy == METADATA else CallContent(redactor, feature or "", subject)


contents = Contents()


class CallContent:
    """What may be kept of one call: the same value has the same placeholder in all of it, and in all its attempts."""

    def __init__(self, redactor: CallRedactor, feature: str, subject: str) -> None:
        self._redactor = redactor
        self._feature = feature
        self._subject = subject
        self._request: Redacted | None = None

    def written(self, request: Any, response: Any) -> str | None:
        if self._request is None:
            self._request = self._redactor.redact(request)
        answer = None if response is None else self._redactor.redact(response)
        if self._redactor.policy == METADATA:  # it failed, and half of a story is not kept either
            return None
        return _written(self._request, answer, self._feature, self._subject, lifetime_of(self._feature))


def shown(payload: Payload) -> Mapping[str, Any]:
    """What an export shows: as it is kept, redacted, and decrypted where a key is there."""
    facts = {
        name: getattr(payload, name)
        for name in ("call", "at", "expires_at", "feature", "policy", "request", "response", "entities")
    }
    if not payload.encryption:
        return facts
    try:
        opened = {name: facts[name] and reveal(facts[name]) for name in ("request", "response")}
    except EncryptionUnavailable as error:
        return facts | {"request": None, "response": None, "unreadable": f"Encrypted: {error}"}
    return facts | opened


def keep(
    call: UUID | str,
    request: Redacted | None = None,
    response: Redacted | None = None,
    *,
    feature: str = "",
    subject: str = "",
    lifetime: timedelta | None = None,
    using: str | None = None,
) -> datetime | None:
    """Write the content of a call, on the caller's connection: one round trip, its partition made when missing.

    The door does so by itself; this is for content that comes another way.

    Args:
        call: id of the call in the ledger. What is kept of it already stays as it is.
        request: redacted; None when the policy keeps none.
        response: likewise.
        lifetime: None means as the settings say.

    Returns: when it expires; None when neither was given.

    Raises:
        NotRedacted: a plain text; only a redacted copy can be kept.
        django.db.Error: the database refuses, for one because ``lifetime`` is longer than it accepts.
    """
    from lockstep.privacy.models import Payload

    written = _written(request, response, feature, subject, lifetime or lifetime_of(feature))
    if written is None:
        return None
    with connections[using or router.db_for_write(Payload)].cursor() as cursor:
        cursor.execute("SELECT lockstep_core_keep_v1(%s::uuid, %s::jsonb)", [str(call), written])
        expires: datetime | None = cursor.fetchone()[0]
    return expires


def _written(
    request: Redacted | None,
    response: Redacted | None,
    feature: str,
    subject: str,
    lifetime: timedelta | None,
) -> str | None:
    """The one door to the table: what ``lockstep_core_keep_v1`` takes, of redacted copies and of nothing else."""
    copies = [demand(copy) for copy in (request, response) if copy is not None]
    if not copies:
        return None
    counts: Counter[str] = Counter()
    for copy in copies:
        counts.update(copy.counts)
    facts = {
        "feature": feature, "subject": subject, "policy": copies[0].policy, "detectors": copies[0].version[:200],
        "request": request.text if request else "", "response": response.text if response else "",
        "entities": counts, "encryption": "fernet" if copies[0].encrypted else "",
        "lifetime_s": lifetime.total_seconds() if lifetime else None,
    }  # fmt: skip
    return dumps(facts)
