"""Fills chunks with atoms: not too many tokens, and ends where the text ends something too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lockstep.search.chunking.atoms import Atom
from lockstep.search.chunking.structure import Break

__all__ = ["packed"]

#: A chunk may end early, once it holds this share of the budget, for the sake of a better place to cut.
ENOUGH = {
    Break.HEADING: 0.25,
    Break.PARAGRAPH: 0.5,
    Break.LINE: 0.6,
    Break.SENTENCE: 0.7,
    Break.WORD: 0.8,
    Break.GLUED: 0.9,
}
#: A remainder smaller than this share of the budget is no chunk of its own.
SMALL = 0.25


def packed(atoms: Iterator[Atom], budget: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Spans of consecutive atoms, each at most ``budget`` tokens."""
    packer = _Packer(budget, overlap)
    for atom in atoms:
        yield from packer.add(atom)
    yield from packer.finish()


class _Packer:
    """Fills one chunk at a time and holds the finished one back, to share it with a small remainder."""

    def __init__(self, budget: int, overlap: int) -> None:
        self.budget = budget
        self.overlap = overlap
        self.finished: list[Atom] = []
        self.filling: list[Atom] = []
        self.repeated = 0
        """How many atoms at the head of ``filling`` stand in ``finished`` too."""
        self.tokens = 0

    def add(self, atom: Atom) -> Iterator[tuple[int, int]]:
        while self.filling and self.tokens + atom.tokens > self.budget:
            if self.repeated == len(self.filling):
                self._set_filling([])
            else:
                yield from self._close(atom)
        self.filling.append(atom)
        self.tokens += atom.tokens

    def finish(self) -> Iterator[tuple[int, int]]:
        fresh = self.filling[self.repeated :]
        if self.finished and fresh and _tokens(fresh) < SMALL * self.budget:
            yield from map(_span, self._shared([*self.finished, *fresh]))
        else:
            yield from (_span(atoms) for atoms in (self.finished, self.filling) if atoms)

    def _close(self, following: Atom) -> Iterator[tuple[int, int]]:
        """End the chunk that is filling at the best place; the rest begins the next one."""
        if self.finished:
            yield _span(self.finished)
        cut = self._best_cut(following)
        self.finished, rest = self.filling[:cut], self.filling[cut:]
        repeated = self._to_repeat((rest or [following])[0])
        room = self.budget - _tokens(rest) - following.tokens
        while repeated and _tokens(repeated) > room:
            repeated = repeated[1:]
        self._set_filling(repeated + rest)
        self.repeated = len(repeated)

    def _best_cut(self, following: Atom) -> int:
        """How many atoms the chunk keeps: up to the strongest break, among equals the last."""
        best, chosen, tokens = (False, -1), len(self.filling), 0
        for kept, atom in enumerate([*self.filling, following]):
            if kept > self.repeated:
                enough = tokens >= ENOUGH[atom.before] * self.budget
                if (enough, atom.before if enough else tokens) >= best:
                    best, chosen = (enough, atom.before if enough else tokens), kept
            tokens += atom.tokens
        return chosen

    def _to_repeat(self, following: Atom) -> list[Atom]:
        """The last atoms of the finished chunk, as far as the overlap reaches within the section."""
        if following.before is Break.HEADING:
            return []
        tokens, first = 0, len(self.finished)
        while first > 1 and tokens + self.finished[first - 1].tokens <= self.overlap:
            first -= 1
            tokens += self.finished[first].tokens
        return self.finished[first:]

    def _set_filling(self, atoms: list[Atom]) -> None:
        self.filling, self.tokens, self.repeated = atoms, _tokens(atoms), 0

    def _shared(self, atoms: list[Atom]) -> list[list[Atom]]:
        """One chunk if they fit, else two of about equal size."""
        total, tokens = _tokens(atoms), 0
        if total <= self.budget:
            return [atoms]
        costs = []
        for kept, atom in enumerate(atoms):
            if 0 < tokens <= self.budget and total - tokens <= self.budget:
                costs.append((abs(tokens - total / 2) - atom.before * self.budget / 16, kept))
            tokens += atom.tokens
        if not costs:
            return [self.finished, atoms[len(self.finished) :]]
        _, kept = min(costs)
        return [atoms[:kept], atoms[kept:]]


def _tokens(atoms: Iterable[Atom]) -> int:
    return sum(atom.tokens for atom in atoms)


def _span(atoms: Sequence[Atom]) -> tuple[int, int]:
    return atoms[0].start, atoms[-1].end
