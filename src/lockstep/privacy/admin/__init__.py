"""Payloads and policies in the admin."""

from lockstep.core.admin import figures
from lockstep.privacy.admin.payloads import PayloadAdmin
from lockstep.privacy.admin.policies import kept

__all__ = ["PayloadAdmin"]

figures.append(kept)
