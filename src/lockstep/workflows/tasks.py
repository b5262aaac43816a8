"""Thin: the task calls one function. ``app.autodiscover_tasks()`` finds it."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

from lockstep.workflows.broker import tell
from lockstep.workflows.engine import advance as advance_run
from lockstep.workflows.tools import threads
from lockstep.workflows.tools.threads import RETIRED

__all__ = ["advance"]

logger = logging.getLogger("lockstep.workflows")


@shared_task(name="lockstep_workflows.advance", bind=True, ignore_result=True, acks_late=False, max_retries=0)  # type: ignore[untyped-decorator]
def advance(self: Any, run: str) -> str:
    """Take a run as far as it goes now. Whoever is not its owner leaves it alone."""
    queue = (self.request.delivery_info or {}).get("routing_key", "")
    said = advance_run(run, ring=lambda following: tell(self, following, queue)) or "nothing to do"
    if threads.wants_to_retire() and not self.request.is_eager:
        logger.error("%s tools of this process outlived their time: it ends.", threads.abandoned())
        raise SystemExit(RETIRED)  # its run is let go of, and the pool starts another process
    return said
