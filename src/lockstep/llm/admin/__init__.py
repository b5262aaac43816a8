"""Calls, spend, prices and exchange rates in the admin."""

from lockstep.core.admin import figures
from lockstep.llm.admin.calls import CallAdmin
from lockstep.llm.admin.features import last_30_days
from lockstep.llm.admin.money import PriceAdmin, RateAdmin
from lockstep.llm.admin.tallies import TallyAdmin

__all__ = ["CallAdmin", "PriceAdmin", "RateAdmin", "TallyAdmin"]

figures.append(last_30_days)
