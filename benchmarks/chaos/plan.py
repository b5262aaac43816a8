"""Who is hit when: drawn from a seed, so that the same command does the same as far as processes can."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["PHASES", "Blow", "plan"]

PHASES = {
    "ready": "idle",
    "task": "taking the run",
    "begun": "in a node",
    "meant": "in a call, nothing sent",
    "asked": "in a call, sent",
    "booked": "in a call, done",
    "answered": "after a call",
    "ended": "writing a transition",
    "left": "idle",
}
"""What was seen last of a process -> where it was."""

AIMS = {
    "begun": (6, 0.06), "meant": (4, 0.025), "asked": (5, 0.025), "booked": (3, 0.03), "answered": (3, 0.006),
    "ended": (3, 0.006), "task": (2, 0.006),
}  # fmt: skip
"""Moments after which a blow falls, how often, and how many seconds later at most: in the middle of a node, mostly."""


@dataclass(frozen=True, slots=True)
class Blow:
    kind: str
    """``child``: SIGKILL one process of a pool; ``tree``: the whole worker; ``hung``: SIGSTOP, until it is followed."""
    moment: str
    delay_s: float
    """From that moment on."""
    pause_s: float
    """Before this blow is aimed at all."""


def plan(kills: int, trees: int, hung: int, seed: int) -> tuple[list[Blow], list[Blow]]:
    """Blows of the two parts: kills, so many of them of whole workers, and those that hang."""
    chance = random.Random(seed)
    at = set(chance.sample(range(kills), trees))
    return (
        [blow("tree" if number in at else "child", chance) for number in range(kills)],
        [blow("hung", chance) for _ in range(hung)],
    )


def blow(kind: str, chance: random.Random) -> Blow:
    moment = chance.choices(list(AIMS), [often for often, _ in AIMS.values()])[0]
    return Blow(kind, moment, chance.uniform(0, AIMS[moment][1]), chance.uniform(0.05, 0.4))
