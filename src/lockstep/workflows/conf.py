"""The ``workflows`` section of ``LOCKSTEP``: values and dotted paths only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lockstep.core.conf import Section
from lockstep.core.notify import signatures

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
    node_timeout_s: float = 3600.0
    """A run in which no node begins or ends for so long loses its process: there is no other way to stop a node that is
    in an endless loop. A workflow may have its own."""
    max_state_bytes: int = 16 * 1024 * 1024
    """Largest state of a run, as JSON."""
    types: tuple[str, ...] = ()
    """Dotted names of classes that may stand in a state, besides those that graphs declare."""
    queue: str = ""
    """Celery queue of the doorbells; a workflow may name its own. Empty: Celery's default."""
    sweep_s: float = 0.4
    """How often each worker looks for runs that nobody is at."""
    site_url: str = ""
    """Where people reach the project, ``https://desk.example.com``: notices of reviews lead there."""
    self_approval: bool = False
    """Whether people may approve what runs of their own propose."""
    link_days: float = 7.0
    """A link to a review is good for so long, and never longer than the review can be answered."""
    max_event_bytes: int = 256 * 1024
    """Largest event from outside, as JSON."""
    webhook_secrets: Mapping[str, str] = field(default_factory=dict)
    """Source -> secret that its sender has issued, read from the environment; the others' are derived."""

    def __post_init__(self) -> None:
        if self.pooler not in ("session", "transaction"):
            raise ValueError("pooler must be 'session' or 'transaction'.")
        for name in ("lease_s", "sweep_s", "node_timeout_s", "link_days"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                unit = "days" if name == "link_days" else "seconds"
                raise ValueError(f"{name} must be a positive number of {unit}.")
        if self.lease_s < LEAST_LEASE_S:
            raise ValueError(f"lease_s must be {LEAST_LEASE_S:g} or more: healthy workers stall too.")
        for name in ("most_crashes", "max_state_bytes", "max_event_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1.")
        if isinstance(self.types, str) or not all(isinstance(name, str) for name in self.types):
            raise ValueError("types must be a list of dotted names.")
        if self.site_url and not self.site_url.startswith(("https://", "http://")):
            raise ValueError("site_url must begin with https:// (or http://).")
        if not isinstance(self.self_approval, bool):
            raise ValueError("self_approval must be True or False.")
        _check_secrets(self.webhook_secrets)


def _check_secrets(given: Mapping[str, str]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError("webhook_secrets must be a dict of sources.")
    for source, secret in given.items():
        if not isinstance(secret, str) or not secret.split():
            raise ValueError(f"webhook_secrets[{source!r}] must be a text: is its variable set?")
        for one in secret.split():
            try:
                signatures.key(one)
            except ValueError as error:
                raise ValueError(f"webhook_secrets[{source!r}]: {error}") from None


section = Section("workflows", WorkflowsSettings)


def settings() -> WorkflowsSettings:
    """The current values; ``override_settings`` is obeyed."""
    return section.get()
