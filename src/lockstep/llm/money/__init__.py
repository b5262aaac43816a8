"""What calls cost: dated prices, exchange rates, and the sums that the database does."""

from lockstep.llm.money.tariffs import Tariff, tariff

__all__ = ["Tariff", "tariff"]
