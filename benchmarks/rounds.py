"""Times several arms on the same items, interleaved, so that a slow minute hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from benchmarks.metrics import percentile

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Timed(Generic[Result]):
    """What one arm returned for each item (of the first round) and how long every call took."""

    results: list[Result] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return percentile(self.times_ms, 50)

    @property
    def p95_ms(self) -> float:
        return percentile(self.times_ms, 95)

    def latency(self) -> dict[str, float]:
        return {"p50_ms": self.p50_ms, "p95_ms": self.p95_ms}


def interleave(
    arms: Mapping[str, Callable[[Item], Result]], items: Sequence[Item], *, rounds: int = 1, warmup: int = 0
) -> dict[str, Timed[Result]]:
    """Call every arm on every item; the arm that goes first rotates from item to item.

    Args:
        arms: name -> callable of one item; what it returns is kept from the first round only.
        items: what to measure on, in order.
        rounds: how often to go over all items.
        warmup: this many items are run through every arm beforehand, unmeasured.
    """
    for item in items[:warmup]:
        for call in arms.values():
            call(item)
    timed: dict[str, Timed[Result]] = {name: Timed() for name in arms}
    for number in range(rounds):
        for position, item in enumerate(items):
            for name in rotated(list(arms), position + number):
                result, elapsed_ms = clock(arms[name], item)
                timed[name].times_ms.append(elapsed_ms)
                if number == 0:
                    timed[name].results.append(result)
    return timed


def clock(call: Callable[[Item], Result], item: Item) -> tuple[Result, float]:
    """The result and the wall time in milliseconds."""
    started = time.perf_counter()
    result = call(item)
    return result, (time.perf_counter() - started) * 1000


def rotated(names: Sequence[str], by: int) -> Iterator[str]:
    """``names`` beginning at position ``by``, wrapped around."""
    start = by % len(names)
    yield from names[start:]
    yield from names[:start]
