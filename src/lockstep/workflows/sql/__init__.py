"""What the database itself holds: one owner a run, no write of an earlier one, stop and question in one commit."""

from __future__ import annotations

from lockstep.workflows.sql import ownership, starting, transitions

__all__ = ["CREATE", "DROP"]  # what stands beside tables of a later migration is created there: ``tools``

_PARTS = (starting, transitions, ownership)

CREATE = tuple(statement for part in _PARTS for statement in part.CREATE)
DROP = tuple(statement for part in reversed(_PARTS) for statement in part.DROP)
