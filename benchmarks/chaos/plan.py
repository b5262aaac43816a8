"""Who is hit when: drawn from a seed, so that the same command does the same as far as processes can."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["PHASES", "Blow", "plan"]

PHASES = {
    "ready": "idle",
    "task": "taking the run",
    "begun": "in a node",
    "asked": "in a call",
    "booked": "in a call, done",
    "answered": "after a call",
    "ended": "writing a transition",
    "left": "idle",
}
"""What was seen last of a process -> where it was."""

AIMS = {"begun": 7, "asked": 7, "booked": 3, "answered": 3, "ended": 4, "task": 2}
"""Moments after which a blow falls, and how often: most in the middle of a node."""
SHORT = ("answered", "ended", "task")
"""What follows these lasts some milliseconds only."""


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
    moment = chance.choices(list(AIMS), list(AIMS.values()))[0]
    delay = chance.uniform(0, 0.006 if moment in SHORT else 0.06)
    return Blow(kind, moment, delay, chance.uniform(0.05, 0.4))
