"""Payloads, policies and receipts in the admin."""

from lockstep.core.admin import figures
from lockstep.privacy.admin.payloads import PayloadAdmin
from lockstep.privacy.admin.policies import kept
from lockstep.privacy.rights.admin import ReceiptAdmin

__all__ = ["PayloadAdmin", "ReceiptAdmin"]

figures.append(kept)
