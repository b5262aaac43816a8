"""Tables of the door: prices, exchange rates."""

from lockstep.llm.models.money import Price, Rate

__all__ = ["Price", "Rate"]
