"""Privacy in the admin."""

from lockstep.privacy.rights.admin import ReceiptAdmin

__all__ = ["ReceiptAdmin"]
