"""What workflows raise. No text holds a value of a graph's state: only where it stands and what type it has."""

from __future__ import annotations

from lockstep.core.exceptions import LockstepError

__all__ = ["Unreadable", "Unstorable", "WorkflowError"]


class WorkflowError(LockstepError):
    """The workflow cannot go on."""


class Unstorable(WorkflowError, TypeError):
    """A value of the state cannot be kept. Keep what it can be made from again."""

    path: str
    """Where the value stands, as one would write it: ``state.messages[3].artifact.file``."""

    type: str
    """The value's type, with its module."""


class Unreadable(WorkflowError, ValueError):
    """Kept state cannot be read back. Nothing is guessed: the run stays where it is until its types are there again."""

    kind: str
    """What the value says it is."""
