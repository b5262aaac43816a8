"""A reference BM25 over the lexemes that Postgres itself makes, so that only the ranking function differs.

Source: Robertson and Zaragoza 2009; idf and the shape of the denominator as in Lucene (never negative).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray


class BM25:
    """Scores every document for a bag of lexemes.

    Args:
        postings: ``(document number, lexeme, term frequency)``; document numbers are 0 .. documents - 1.
        documents: how many there are, also those without a lexeme.
        k1, b: saturation of term frequency, and how much a long document is held back.
    """

    def __init__(
        self, postings: Iterable[tuple[int, str, int]], *, documents: int, k1: float = 1.2, b: float = 0.75
    ) -> None:
        by_lexeme: dict[str, list[tuple[int, int]]] = {}
        lengths = np.zeros(documents)
        for number, lexeme, frequency in postings:
            by_lexeme.setdefault(lexeme, []).append((number, frequency))
            lengths[number] += frequency
        self.documents = documents
        penalty = k1 * (1 - b + b * lengths / (lengths.mean() or 1))
        self._impacts = {
            lexeme: _impacts(np.array(pairs), penalty, documents) for lexeme, pairs in by_lexeme.items()
        }

    def scores(self, query: Mapping[str, int]) -> NDArray[np.float64]:
        """One score per document for lexeme -> frequency in the query; 0 where nothing matches."""
        total = np.zeros(self.documents)
        for lexeme, frequency in query.items():
            if lexeme in self._impacts:
                numbers, impacts = self._impacts[lexeme]
                total[numbers] += frequency * impacts
        return total

    def rank(self, query: Mapping[str, int], *, depth: int) -> list[int]:
        """Document numbers by falling score, ties by number; only documents that match."""
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:depth]
        return [int(number) for number in order if scores[number] > 0]


def _impacts(
    pairs: NDArray[np.int64], penalty: NDArray[np.float64], documents: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    numbers, frequencies = pairs[:, 0], pairs[:, 1]
    idf = np.log1p((documents - len(numbers) + 0.5) / (len(numbers) + 0.5))
    return numbers, idf * frequencies / (frequencies + penalty[numbers])
