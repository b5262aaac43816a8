"""Callers in processes of their own that race for the same budgets; some settle twice, some die."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

__all__ = [
    "call_again_and_again",
    "come_back",
    "die_between",
    "go_on",
    "make_tables",
    "operate",
    "race",
    "sweep",
]

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


def call_again_and_again(times: int) -> None:
    import django

    django.setup()
    from tests.budgets.calls import came_back

    for _ in range(times):
        assert came_back(10).refused is None
        print("done", flush=True)
        time.sleep(0.02)


def sweep() -> None:
    import django

    django.setup()
    from lockstep.budgets import reports

    reports.sweep()


def operate(seed: int, operations: int) -> None:
    """Everything that may happen to calls and budgets, in any order."""
    import django

    django.setup()
    from django.db import connection

    from lockstep.budgets import reports
    from lockstep.budgets.models import Budget
    from lockstep.llm import ledger
    from tests.budgets.calls import reserve, settle

    chance = random.Random(seed)
    budgets = list(Budget.objects.values_list("pk", flat=True))
    known: list[Any] = []
    for _ in range(operations):
        dice = chance.random()
        if dice < 0.4 or not known:
            asked, begun = reserve(
                feature=chance.choice(("support.answer", "other.thing")), cohort=chance.choice(NAMES),
                tenant=chance.choice(NAMES), user_key=chance.choice(NAMES), bound_input=chance.randint(100, 900),
            )  # fmt: skip
            known += [] if begun.refused else [asked]
        elif dice < 0.75:
            asked = chance.choice(known)  # perhaps one that was settled, or has lapsed
            settle(asked, chance.randint(0, 1_500))
        elif dice < 0.85:
            ledger.widen(chance.choice(known), chance.randint(900, 2_000))
        elif dice < 0.92:
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE lockstep_llm_call SET expires_at = now() WHERE id = %s AND state = 'reserved'",
                    [chance.choice(known).id],
                )
            ledger.lapse(3)
        elif dice < 0.95:
            reports.sweep()
        elif dice < 0.985:
            Budget.objects.filter(pk=chance.choice(budgets)).update(cap=chance.randint(20_000, 10**9))
        else:
            for active in (False, True):
                Budget.objects.filter(pk=chance.choice(budgets)).update(active=active)


def go_on(seed: int) -> None:
    """Says what the ledger has confirmed, and when by the clock that all processes share."""
    import django

    django.setup()
    from tests.budgets.calls import reserve, settle

    chance = random.Random(seed)
    while True:
        asked, begun = reserve(cohort=chance.choice(NAMES))
        assert begun.refused is None
        print("reserved", asked.id, time.monotonic(), flush=True)
        if chance.random() < 0.9:
            tokens = chance.randint(0, 1_000)
            settle(asked, tokens)
            print("settled", asked.id, tokens, flush=True)


def make_tables() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from lockstep.budgets.models import Budget

    call_command("migrate", verbosity=0, interactive=False)
    for per, period in (("all", "day"), ("cohort", "month")):
        Budget.objects.create(feature="support.answer", per=per, period=period, unit="tokens", cap=10**12)


def come_back(ids: list[str]) -> None:
    """Late answers, also to calls whose reservation was lost."""
    import django

    django.setup()
    from tests.budgets.calls import call, settle

    for known in ids:
        settle(call(id=known, invocation=known), 10)
