"""The engine's own connections: two a process for what runs write, one more for signs of life."""

from __future__ import annotations

from lockstep.core.apart import Apart
from lockstep.workflows.conf import section
from lockstep.workflows.exceptions import EngineError, RowRefused

__all__ = ["apart"]

apart = Apart("the state of runs", section, EngineError, refused=RowRefused)
