"""Processes that erase, and others that make calls for the same people meanwhile."""

from __future__ import annotations

import random
import time
from typing import Any

__all__ = ["call_on", "erase_once"]


def erase_once(key: str) -> None:
    import django

    django.setup()
    from lockstep.privacy.rights import erase
    from tests.privacy.people import WHO, registered

    with registered():
        print("begun", flush=True)
        erase(key, **WHO)
        print("done", flush=True)


def call_on(seed: int, people: tuple[str, ...], seconds: float) -> None:
    """Calls that are widened, settled, settled late or forgotten, as the door makes them."""
    import django

    django.setup()
    from dataclasses import replace

    from lockstep.llm.ledger import widen
    from tests.budgets.calls import reserve, settle

    chance, ends = random.Random(seed), time.monotonic() + seconds
    late: list[Any] = []
    while time.monotonic() < ends:
        asked, begun = reserve(user_key=chance.choice(people), bound_input=chance.randint(100, 900))
        assert not begun.refused, begun.refused
        if chance.random() < 0.5:
            widen(replace(asked, bound_output=200), 950)
        if chance.random() < 0.3:
            late.append(asked)
        else:
            settle(asked, chance.choice((None, chance.randint(0, 1_500))))
        if late and chance.random() < 0.2:
            settle(late.pop(chance.randrange(len(late))), chance.randint(0, 1_000))
    for asked in late:
        settle(asked, 50)
