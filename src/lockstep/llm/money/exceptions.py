"""What can be wrong with a price or a rate."""

from __future__ import annotations

from lockstep.core.exceptions import LockstepError

__all__ = ["PriceError"]


class PriceError(LockstepError, ValueError):
    """The price cannot be recorded. The text says which figure is wrong and what to write instead."""
