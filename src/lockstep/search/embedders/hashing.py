"""Vectors without a model, for tests: texts that share words or parts of words come out similar."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from lockstep.search.embedders.base import BaseEmbedder, Deadline
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["Hashing"]

TOKEN = re.compile(r"\w+|[^\w\s]")


class Hashing(BaseEmbedder):
    """Feature hashing of words and character trigrams: the same vector in every process, on every platform.

    It knows no meaning. Use it where a test needs vectors and no model.

    Args:
        dimensions: numbers a vector, >= 8; fewer make unrelated texts collide.
        max_tokens: words that it reads of a text.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.
    """

    provider = "hashing"
    model = "hashing-v1"

    def __init__(
        self,
        *,
        dimensions: int = 256,
        max_tokens: int = 256,
        document_prefix: str = "",
        query_prefix: str = "",
    ) -> None:
        super().__init__(document_prefix=document_prefix, query_prefix=query_prefix)
        if dimensions < 8:
            raise EmbedderMisconfigured("Hashing needs at least 8 dimensions.")
        self.dimensions = dimensions
        self.max_tokens = max_tokens

    def count_tokens(self, text: str) -> int:
        return len(TOKEN.findall(self.document_prefix + text))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in TOKEN.finditer(text)]

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> list[list[float]]:
        with self.measure() as usage:
            usage.items = len(texts)
            usage.input_tokens = sum(min(len(TOKEN.findall(text)), self.max_tokens) for text in texts)
            return [self._row(text, deadline) for text in texts]

    def _row(self, text: str, deadline: Deadline) -> list[float]:
        deadline.check()
        row = [0.0] * self.dimensions
        for feature, count in Counter(self._features(text)).items():
            number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
            sign = 1.0 if number & 1 else -1.0
            row[(number >> 1) % self.dimensions] += sign * math.sqrt(count)
        row[0] += 1e-3  # a text without words, or whose features cancel out, still has a direction
        return row

    def _features(self, text: str) -> Iterator[str]:
        for word in TOKEN.findall(text)[: self.max_tokens]:
            folded = word.casefold()
            yield folded
            padded = f" {folded} "
            yield from (padded[at : at + 3] for at in range(len(padded) - 2))
