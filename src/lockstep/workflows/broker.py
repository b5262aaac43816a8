"""One word to the broker. Whatever it answers, the run is committed."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["tell"]

logger = logging.getLogger("lockstep.workflows")


def tell(task: Any, run: str, queue_name: str = "") -> None:
    """Tell a worker by ``task``, and wait for the broker."""
    try:
        task.apply_async(args=[run], queue=queue_name or None, retry=False, ignore_result=True)
    except Exception as error:  # whatever a broker's client raises: the run is committed, and sweepers see it
        logger.warning(
            "No worker could be told of run %s (%s); a sweeper will tell one.", run, type(error).__name__
        )
