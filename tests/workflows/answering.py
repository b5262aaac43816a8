"""Answers to what a run waits for, as a person gives them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from lockstep.workflows.models import Run, Wait

__all__ = ["answered"]


def answered(wait: Wait, decision: str = "edit", **args: Any) -> None:
    """Say so, and let the run go on."""
    told = {"decision": decision, "args": {**wait.payload["args"], **args}, "comment": "seen", "by": "7"}
    Wait.objects.filter(pk=wait.pk).update(status="answered", answer=told, answered_at=timezone.now())
    Run.objects.filter(pk=wait.run_id).update(status="queued")
