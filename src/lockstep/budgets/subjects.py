"""What budgets know of a person: limits of their own, what they spent in a period, and what people were told of it.

All of it goes before the ledger loses the person. Their calls are counted for nobody then, so that no counter disagrees
with the ledger; what all of them spent together stays in the budgets for all.
"""

from __future__ import annotations

from lockstep.core.ports import Subject, subjects

__all__ = ["register"]

LEDGER = "lockstep_llm.Call"
WHO = {"Budget": "who", "BudgetPeriod": "who"} | dict.fromkeys(("Alert", "Hold", "Overrun"), "period__who")


def register() -> None:
    for model, person in WHO.items():
        label = f"lockstep_budgets.{model}"
        subjects.register(label, Subject(label, person, pseudonym=True, before=(LEDGER,)))
