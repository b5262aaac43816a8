"""Telling a worker that a run wants looking at. Losing, delaying or doubling that is harmless: sweepers ring again."""

from __future__ import annotations

import logging

from lockstep.workflows.conf import settings

__all__ = ["ring"]

logger = logging.getLogger("lockstep.workflows")


def ring(run: str, queue: str = "") -> bool:
    """Send the doorbell; False where there is no Celery or its broker cannot be reached: logged, and no error."""
    try:
        from lockstep.workflows.tasks import advance
    except ImportError:
        return False
    try:
        advance.apply_async(
            args=[str(run)], queue=queue or settings().queue or None, retry=False, ignore_result=True
        )
    except Exception as error:  # whatever a broker's client raises: the run is committed, and sweepers see it
        logger.warning(
            "No worker could be told of run %s (%s); a sweeper will tell one.", run, type(error).__name__
        )
        return False
    return True
