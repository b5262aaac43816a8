"""Workflows in the admin."""

from lockstep.workflows.admin.runs import RunAdmin

__all__ = ["RunAdmin"]
