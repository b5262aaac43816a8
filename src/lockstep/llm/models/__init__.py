from lockstep.llm.models.call import Call, CallQuerySet
from lockstep.llm.models.money import Price, Rate

__all__ = ["Call", "CallQuerySet", "Price", "Rate"]
