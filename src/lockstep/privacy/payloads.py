"""Keeping what was said: a redacted copy of request and answer, for as long as its policy allows and no longer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, router

from lockstep.core import ports
from lockstep.core.redacted import Redacted, demand
from lockstep.privacy.encryption import reveal
from lockstep.privacy.exceptions import EncryptionUnavailable

if TYPE_CHECKING:
    from lockstep.privacy.models import Payload

__all__ = ["KEEP", "MOST", "keep", "register"]

KEEP = timedelta(days=30)
"""Usual lifetime of a payload."""
MOST = timedelta(days=90)
"""Longest lifetime that the database accepts."""

MODEL = "lockstep_privacy.Payload"


def register() -> None:
    """Tell core which table holds content, for how long, and about whom."""
    ports.retention.register(
        MODEL, ports.Retained(MODEL, ("request", "response", "entities"), keep=KEEP, most=MOST)
    )
    ports.subjects.register(MODEL, ports.Subject(MODEL, "subject", pseudonym=True, show=shown))


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

    Args:
        call: id of the call in the ledger. What is kept of it already stays as it is.
        request: redacted; None when the policy keeps none.
        response: likewise.
        lifetime: None means as the settings say.

    Returns: when it expires; None when neither was given, or something is kept of the call already.

    Raises:
        NotRedacted: a plain text; only a redacted copy can be kept.
        django.db.Error: the database refuses, for one because ``lifetime`` is longer than it accepts.
    """
    from lockstep.privacy.models import Payload

    copies = [demand(copy) for copy in (request, response) if copy is not None]
    if not copies:
        return None
    counts: Counter[str] = Counter()
    for copy in copies:
        counts.update(copy.counts)
    with connections[using or router.db_for_write(Payload)].cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_privacy_keep_v1(%s::uuid, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s::interval)",
            [
                str(call), feature, subject, copies[0].policy, copies[0].version[:200],
                request.text if request else "", response.text if response else "", json.dumps(counts),
                "fernet" if copies[0].encrypted else "", lifetime,  # type: ignore[list-item]
            ],
        )  # fmt: skip
        expires: datetime | None = cursor.fetchone()[0]
    return expires
