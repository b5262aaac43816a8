"""Callers in processes of their own that race for the same budgets; some settle twice, some die."""

from __future__ import annotations

import os
import random
import threading
from typing import Any

__all__ = ["die_between", "race"]

NAMES = ("", "a", "b")


def race(seed: int, threads: int, each: int) -> None:
    import django

    django.setup()
    workers = [threading.Thread(target=_work, args=(seed * 100 + at, each)) for at in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _work(seed: int, each: int) -> None:
    from tests.budgets.calls import reserve, settle

    chance = random.Random(seed)
    late: list[Any] = []
    for _ in range(each):
        asked, begun = reserve(
            feature=chance.choice(("support.answer", "other.thing")), cohort=chance.choice(NAMES),
            tenant=chance.choice(NAMES), user_key=chance.choice(NAMES), bound_input=chance.randint(100, 900),
        )  # fmt: skip
        if begun.refused:
            assert begun.refused.startswith("budget_"), begun.refused
            continue
        fate = chance.random()
        bound = asked.bound_input + asked.bound_output
        if fate < 0.1:
            continue  # never comes back
        if fate < 0.3:
            late.append((asked, chance.randint(0, bound)))
            continue
        tokens = chance.choice((None, chance.randint(0, bound), 1))
        settle(asked, tokens)
        if fate > 0.9:
            settle(asked, bound)
    chance.shuffle(late)
    for asked, tokens in late:
        settle(asked, tokens)


def die_between() -> None:
    import django

    django.setup()
    from tests.budgets.calls import reserve

    asked, begun = reserve()
    assert not begun.refused
    print(asked.id, flush=True)
    os.kill(os.getpid(), 9)
