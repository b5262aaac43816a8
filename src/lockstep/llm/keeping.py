"""How long the ledger is kept, and what becomes of a person in it."""

from __future__ import annotations

from datetime import timedelta

from lockstep.core import ports
from lockstep.llm.conf import settings

__all__ = ["CALL", "lifetime", "register"]

CALL = "lockstep_llm.Call"
TALLY = "lockstep_llm.Tally"


def lifetime() -> timedelta | None:
    days = settings().keep_days
    return None if days is None else timedelta(days=days)


def register() -> None:
    """Old rows go; a row whose person is erased keeps its tokens and its cost."""
    ports.ageing.register(CALL, ports.Aged(CALL, at="at", keep=lifetime, stays={"state": "reserved"}))
    ports.ageing.register(TALLY, ports.Aged(TALLY, at="hour", keep=lifetime))
    ports.subjects.register(CALL, ports.Subject(CALL, "user_key", pseudonym=True, blank=("user_key",)))
