"""Runs that nobody is at: their doorbell was lost, their worker died, their time has come."""

from __future__ import annotations

import json
import logging
import random
import threading

from lockstep.workflows import doorbell, registry
from lockstep.workflows.conf import settings
from lockstep.workflows.connection import apart
from lockstep.workflows.exceptions import UnknownWorkflow

__all__ = ["Sweeper", "due", "sweep"]

logger = logging.getLogger("lockstep.workflows")

MOST = 100
"""Runs that one sweep looks after."""


def due(most: int = MOST, *, patience_s: float = 2) -> list[tuple[str, str]]:
    """Runs that want a worker now, with their workflow. Each is named to one sweeper, and again only after a while.

    Args:
        patience_s: so long a new run waits for its doorbell first.
    """
    (found,) = apart.query("SELECT lockstep_workflows_sweep_v1(%s, %s)::text", (most, patience_s))
    return [(run, workflow) for run, workflow in json.loads(found)]


def sweep() -> int:
    """Tell workers of the runs that are due; how many there were."""
    runs = due()
    for run, workflow in runs:
        doorbell.ring(run, _queue(workflow))
    return len(runs)


class Sweeper:
    """Sweeps again and again in a thread of its own, in every worker: none of them is needed."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lockstep-sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(settings().sweep_s * random.uniform(0.7, 1.3)):  # noqa: S311 -- so that workers do not all come at once
            try:
                sweep()
            except Exception as error:  # the database is away, perhaps; the next time it may be back
                logger.warning("A sweep failed (%s).", type(error).__name__)


def _queue(workflow: str) -> str:
    try:
        return registry.newest(workflow).queue
    except UnknownWorkflow:
        return ""
