"""Workflows in the admin."""

from lockstep.workflows.admin.runs import RunAdmin
from lockstep.workflows.admin.waits import WaitAdmin

__all__ = ["RunAdmin", "WaitAdmin"]
