"""What runs raise. No text holds a word of a state: it is shown to people and written to logs."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import PermissionDenied

from lockstep.core.exceptions import LockstepError

__all__ = [
    "EffectsForbidden",
    "EngineError",
    "Fenced",
    "HistoryLost",
    "IdempotencyConflict",
    "InvalidAnswer",
    "MayNotAnswer",
    "NotAnswerable",
    "NotExportable",
    "NotImportable",
    "NotReplayable",
    "NotRetryable",
    "RowRefused",
    "RunBusy",
    "StateTooLarge",
    "ToolDied",
    "ToolFailed",
    "ToolMisused",
    "TopologyMismatch",
    "UnknownWorkflow",
    "Unreadable",
    "Unstorable",
    "WorkflowError",
]


class WorkflowError(LockstepError):
    """The run cannot go on."""


class EngineError(WorkflowError, RuntimeError):
    """Runs cannot be written. See the error that caused this."""


class RowRefused(WorkflowError, ValueError):
    """The database takes no such value: half a character, NUL, a name that is too long."""


class Fenced(WorkflowError, RuntimeError):
    """Another worker owns this run now; nothing that this one does is written any more."""


class UnknownWorkflow(WorkflowError, LookupError):
    """No workflow has that name and version here. Declare it with @workflow in the module ``workflows`` of an app."""


class NotRetryable(WorkflowError, ValueError):
    """The run is not one that could be tried again."""


class NotExportable(WorkflowError, ValueError):
    """The run cannot be exported."""


class NotImportable(WorkflowError, ValueError):
    """The file cannot be imported. Nothing of it was."""


class NotReplayable(WorkflowError, ValueError):
    """The run cannot be replayed."""


class RunBusy(WorkflowError, RuntimeError):
    """Another run of the thread is under way. Wait for it, or start with if_busy='enqueue' or 'interrupt'."""


class IdempotencyConflict(WorkflowError, ValueError):
    """The idempotency key belongs to a run with another input. Use a key for each thing that is wanted done."""


class StateTooLarge(WorkflowError, ValueError):
    """The state is larger than LOCKSTEP["workflows"]["max_state_bytes"]. Keep files outside and a reference in it."""


class HistoryLost(WorkflowError, RuntimeError):
    """The run has gone some way, but its checkpoints are gone. What it did is not done again."""


class TopologyMismatch(WorkflowError, RuntimeError):
    """A node that should go on is not in the graph any more. Register the old version beside the new one."""


class NotAnswerable(WorkflowError, ValueError):
    """The question is not open any more."""

    reason: str
    """``answered``: somebody was faster; ``expired``: it is too late; ``withdrawn``: the run has ended; ``stale``:
    what was shown is not what is asked; ``missing``: there is nothing of it any more."""

    answered_by: str = ""
    """Key of the user who was faster."""

    answered_at: datetime | None = None
    decision: str = ""


class MayNotAnswer(WorkflowError, PermissionDenied):
    """This person may not answer."""


class InvalidAnswer(WorkflowError, ValueError):
    """The answer is not what was asked for."""

    problems: list[tuple[str, str]]
    """Where and what: ``("amount", "600 is greater than the maximum of 500")``."""


class ToolFailed(WorkflowError, RuntimeError):
    """The tool failed for good. What it said is in the call's row, which expires with the run."""

    tool: str
    kind: str
    """``transient``, ``permanent`` or ``unknown``: what the last attempt was."""
    error: str
    """Dotted name of its error's class."""
    attempts: int
    text: str
    """What the error said. It may hold what the tool was given: show it to whom the run may be shown."""


class ToolMisused(WorkflowError, TypeError):
    """The tool cannot be called like this."""


class ToolDied(WorkflowError, RuntimeError):
    """The tool's process ended without a result."""


class EffectsForbidden(WorkflowError, RuntimeError):
    """Effects are forbidden here, and the log has none of this call."""


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
