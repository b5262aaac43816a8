"""Codes as people get them wrong: with one slip of the finger, and with the end left off.

Made from the queries of kind ``exact`` of a collection, the same for the same collection.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.beir import Collection, LabelledQuery
from benchmarks.exceptions import MalformedData

SHORTEST = 6
"""Characters, separators aside, of a code that is worth spoiling: of a shorter one too little would be left."""
SHARE_KEPT = 0.6
"""Of a code's characters in a prefix."""


def spoiled(collection: Collection) -> Collection:
    """The same collection with queries of kind ``typo`` and ``prefix`` instead of its own.

    A typo should find what the code finds; a prefix every document with a part number that begins so.

    Raises:
        MalformedData: no query of kind ``exact`` is long enough.
    """
    exact = [q for q in collection.queries if q.kind == "exact" and len(squashed(q.text)) >= SHORTEST]
    if not exact:
        raise MalformedData(
            f"{collection.name} has no queries of kind 'exact' with {SHORTEST} characters: nothing to spoil"
        )
    made = [*(one for q in exact for one in _typo(collection, q)), *(_prefix(collection, q) for q in exact)]
    return replace(
        collection,
        name=f"{collection.name} (spoiled codes)",
        queries=tuple(query for query, _ in made),
        qrels={query.key: judged for query, judged in made},
    )


def squashed(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


def _typo(collection: Collection, query: LabelledQuery) -> Iterator[tuple[LabelledQuery, dict[str, int]]]:
    """One slip, unless what comes out is the code again."""
    rng = random.Random(query.key)
    text = rng.choice(SLIPS)(query.text, rng)
    if squashed(text) != squashed(query.text):
        yield LabelledQuery(f"{query.key}-typo", text, "typo"), dict(collection.qrels[query.key])


def _prefix(collection: Collection, query: LabelledQuery) -> tuple[LabelledQuery, dict[str, int]]:
    kept = max(4, round(len(query.text) * SHARE_KEPT))
    text = query.text[:kept].rstrip("-/. _")
    begun = {
        document.key: 1
        for document in collection.documents
        if any(squashed(n).startswith(squashed(text)) for n in document.identifiers.get("part_number", ()))
    }
    return LabelledQuery(f"{query.key}-prefix", text, "prefix"), begun or dict(collection.qrels[query.key])


def _place(code: str, rng: random.Random, *, before_end: int = 0) -> int:
    """Of a letter or digit, not the first: people get the beginning right."""
    places = [at for at, char in enumerate(code) if at and char.isalnum() and at < len(code) - before_end]
    return rng.choice(places)


def _dropped(code: str, rng: random.Random) -> str:
    at = _place(code, rng)
    return code[:at] + code[at + 1 :]


def _swapped(code: str, rng: random.Random) -> str:
    at = _place(code, rng, before_end=1)
    return code[:at] + code[at + 1] + code[at] + code[at + 2 :]


def _replaced(code: str, rng: random.Random) -> str:
    at = _place(code, rng)
    others = "0123456789" if code[at].isdigit() else "abcdefghijklmnopqrstuvwxyz"
    return code[:at] + rng.choice([char for char in others if char != code[at].lower()]) + code[at + 1 :]


def _doubled(code: str, rng: random.Random) -> str:
    at = _place(code, rng)
    return code[:at] + code[at] + code[at:]


SLIPS: tuple[Callable[[str, random.Random], str], ...] = (_dropped, _swapped, _replaced, _doubled)
