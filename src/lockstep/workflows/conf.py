"""The ``workflows`` section of ``LOCKSTEP``: values and dotted paths only."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.core.conf import Section

__all__ = ["WorkflowsSettings", "section", "settings"]

LEAST_LEASE_S = 1.0
"""A lease shorter than a stall of the interpreter would be lost by healthy workers."""


@dataclass(frozen=True)
class WorkflowsSettings:
    """How runs are owned, stored and given up."""

    database: str = "default"
    """Alias of the database that holds the runs."""
    pooler: str = "session"
    """``transaction`` behind PgBouncer in transaction mode: nothing is prepared then, and a dead worker is noticed by
    its lease alone."""
    lease_s: float = 12.0
    """For so long a worker owns a run without a sign of life. A regular expression can hold the interpreter up for
    seconds."""
    most_crashes: int = 5
    """Workers that may die over one run before it is set aside as dead."""
    max_state_bytes: int = 16 * 1024 * 1024
    """Largest state of a run, as JSON."""
    types: tuple[str, ...] = ()
    """Dotted names of classes that may stand in a state, besides those that graphs declare."""
    queue: str = ""
    """Celery queue of the doorbells; a workflow may name its own. Empty: Celery's default."""
    sweep_s: float = 0.4
    """How often each worker looks for runs that nobody is at."""

    def __post_init__(self) -> None:
        if self.pooler not in ("session", "transaction"):
            raise ValueError("pooler must be 'session' or 'transaction'.")
        for name in ("lease_s", "sweep_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} must be a positive number of seconds.")
        if self.lease_s < LEAST_LEASE_S:
            raise ValueError(f"lease_s must be {LEAST_LEASE_S:g} or more: healthy workers stall too.")
        for name in ("most_crashes", "max_state_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1.")
        if isinstance(self.types, str) or not all(isinstance(name, str) for name in self.types):
            raise ValueError("types must be a list of dotted names.")


section = Section("workflows", WorkflowsSettings)


def settings() -> WorkflowsSettings:
    """The current values; ``override_settings`` is obeyed."""
    return section.get()
