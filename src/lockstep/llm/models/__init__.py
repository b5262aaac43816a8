from lockstep.llm.models.call import Call, CallQuerySet
from lockstep.llm.models.money import Price, Rate
from lockstep.llm.models.tally import Tally

__all__ = ["Call", "CallQuerySet", "Price", "Rate", "Tally"]
