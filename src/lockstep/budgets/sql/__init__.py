"""What the database itself holds: reservations that fit, settlements that count once, alerts that come once."""

from lockstep.budgets.sql import alerts, audit, counters, guards, reserve, scope, settle

__all__ = ["CREATE", "DROP"]

_PARTS = (scope, counters, alerts, settle, guards, audit)

CREATE = (*(statement for part in _PARTS for statement in part.CREATE), reserve.RESERVE, settle.SETTLE)
"""The last two replace hooks of the door."""

DROP = tuple(statement for part in reversed(_PARTS) for statement in part.DROP)
