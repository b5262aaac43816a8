"""Workflows in the admin."""

from lockstep.workflows.admin.waits import WaitAdmin

__all__ = ["WaitAdmin"]
