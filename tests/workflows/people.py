"""People who answer what runs wait for."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from lockstep.workflows import answer
from lockstep.workflows.models import Wait

__all__ = ["answered"]


def answered(wait: Wait, decision: Any = "edit", **args: Any) -> User:
    """Somebody who may says so, and is returned."""
    boss, _ = User.objects.get_or_create(username="boss", defaults={"is_superuser": True, "is_staff": True})
    edited = {**wait.payload["args"], **args} if decision == "edit" else None
    answer(wait, decision, by=boss, args=edited, comment="seen")
    return boss
