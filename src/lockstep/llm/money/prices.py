"""Names of prices, for the door."""

from lockstep.llm.money.snapshot import priced_as

__all__ = ["priced_as"]
