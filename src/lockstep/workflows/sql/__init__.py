"""What the database itself holds: one owner a run, no write of an earlier one, stop and question in one commit."""

from __future__ import annotations

from lockstep.workflows.sql import answers, inbox, ownership, starting, transitions

__all__ = [
    "ANSWERS",
    "CREATE",
    "DROP",
    "NO_ANSWERS",
]  # what stands beside tables of a later migration is created there: ``tools``

_PARTS = (starting, transitions, ownership)

CREATE = tuple(statement for part in _PARTS for statement in part.CREATE)
DROP = tuple(statement for part in reversed(_PARTS) for statement in part.DROP)

ANSWERS = (
    *inbox.CREATE,
    *answers.CREATE,
    *(part.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION") for part in transitions.CREATE),
)
"""With the commit once more: it has asked for nothing before."""
NO_ANSWERS = (*answers.DROP, *inbox.DROP)
