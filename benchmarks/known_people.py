"""Looking for thousands of known values: word by word as we do, a compiled alternation, and Aho-Corasick."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHARACTERS = 100_000


def measure(count: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Characters a second and the milliseconds that it takes to get ready, for ``count`` names; and who is absent."""
    chance = random.Random(11)
    names = sorted({_name(chance) for _ in range(count)})
    words = [_word(chance) for _ in range(CHARACTERS // 7)]
    for place in chance.sample(range(len(words)), len(words) // 200):
        words[place] = chance.choice(names)
    text = " ".join(words)
    found: dict[str, Any] = {"names": len(names)}
    skipped: dict[str, str] = {}
    for arm, build in {"words": _words, "alternation": _alternation, "ahocorasick": _ahocorasick}.items():
        try:
            found[arm] = _timed(build, names, text)
        except ImportError:
            skipped[arm] = "pyahocorasick is not installed: pip install -r requirements/bench.txt"
    return found, skipped


def lines(found: dict[str, Any]) -> list[str]:
    arms = [
        f"{arm} {one['chars_per_s'] / 1e6:.2f}M chars/s, ready in {one['ready_ms']:.0f} ms, {one['found']} found"
        for arm, one in found.items()
        if isinstance(one, dict)
    ]
    return [f"{found['names']} known names: " + "; ".join(arms)]


def _timed(
    build: Callable[[list[str]], Callable[[str], int]], names: list[str], text: str
) -> dict[str, float]:
    started = time.perf_counter()
    find = build(names)
    ready = time.perf_counter() - started
    best, hits = float("inf"), 0
    shown = text[:2_000] if build is _alternation else text  # it would take minutes
    for _ in range(3):
        started = time.perf_counter()
        hits = find(shown)
        best = min(best, time.perf_counter() - started)
    return {"chars_per_s": len(shown) / best, "ready_ms": ready * 1000, "found": hits}


def _words(names: list[str]) -> Callable[[str], int]:
    from lockstep.privacy.detectors.identities import Identities, Term

    known = Identities([Term(name, "NAME") for name in names])
    return lambda text: len(known.find(text))


def _alternation(names: list[str]) -> Callable[[str], int]:
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    known = re.compile(rf"\b(?:{either})\b", re.I)
    return lambda text: sum(1 for _ in known.finditer(text))


def _ahocorasick(names: list[str]) -> Callable[[str], int]:
    """With what it takes to be as right as the others are here: one case, and words' borders."""
    import ahocorasick

    known = ahocorasick.Automaton()
    for name in names:
        known.add_word(name.lower(), len(name))
    known.make_automaton()

    def find(text: str) -> int:
        folded = f" {text.lower()} "
        return sum(
            1
            for end, size in known.iter(folded)
            if not folded[end + 1].isalnum() and not folded[end - size].isalnum()
        )

    return find


def _name(chance: random.Random) -> str:
    return f"{_word(chance).title()} {_word(chance).title()}"


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(LETTERS, k=chance.randint(3, 9)))
