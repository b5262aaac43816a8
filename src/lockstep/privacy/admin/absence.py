"""Why nothing is kept of a call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.utils import timezone

from lockstep.core.moments import shown
from lockstep.privacy.payloads import lifetime
from lockstep.privacy.policies import METADATA, origin_of

__all__ = ["absence", "call_in_ledger"]


def call_in_ledger(call: UUID) -> Any | None:
    """The row of a call, where ``lockstep.llm`` is installed and has it."""
    if not apps.is_installed("lockstep.llm"):
        return None
    from lockstep.llm.conf import settings

    return apps.get_model("lockstep_llm", "Call").objects.using(settings().database).filter(pk=call).first()


def absence(call: Any) -> str:
    """One plain sentence about a call of the ledger that has no payload."""
    named = f"calls of {call.feature}" if call.feature else "calls without a feature"
    expired_at = call.at + lifetime(call.feature)
    if expired_at <= timezone.now():
        day = shown(expired_at, "j F Y")
        return f"Whatever was kept of it expired on {day}: nobody can read it any more."
    policy, origin = origin_of(call.feature)
    if policy == METADATA:
        return f"Nothing is kept of {named}: their policy is metadata ({origin})."
    return (
        f"The policy of {named} is {policy} ({origin}), and yet nothing is kept of this one: it could not be"
        " redacted, its policy was another then, it has not ended yet, or it was erased."
    )
