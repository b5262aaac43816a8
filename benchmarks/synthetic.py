"""Documents and queries of any number, the same for the same seed, and an embedder that needs no model.

What matters for speed is kept realistic: word frequencies fall as Zipf and Mandelbrot describe them, about
a third of the words are English stop words, a document has a topic whose words it repeats, and vectors of
one topic lie together, so that an approximate index has something to find. The words themselves are made of
syllables and mean nothing.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

STOP_WORDS = (
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "for", "on", "with", "as", "was", "by", "at",
    "from", "this", "be", "are", "or", "an", "have", "not", "which",
)  # fmt: skip
ONSETS = (
    "b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl",
    "pr", "qu", "r", "s", "sh", "sl", "st", "t", "tr", "v", "w", "z",
)  # fmt: skip
NUCLEI = ("a", "ai", "e", "ea", "ei", "i", "ie", "o", "oa", "ou", "u")
CODAS = ("", "b", "ck", "d", "ft", "g", "l", "m", "n", "nd", "nt", "p", "r", "rd", "rn", "s", "st", "t", "x")
BRANDS = 400
TITLE_WORDS, TEXT_WORDS = 8, 58
"""66 words a document."""
SHARE_OF_STOP_WORDS = 0.35
SHARE_OF_TOPIC_WORDS = 0.3
SHARE_OF_FOREIGN_WORDS = 0.2
"""Words of a query that its document need not hold: people do not quote. Drawn by frequency."""
COMMON_WORDS = 2_000
"""The most frequent words belong to no topic."""


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    title: str
    text: str
    part_number: str
    brand: str
    ean: str


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    kind: str
    """``words``, ``brand`` (one and words) or ``code`` (a part number as typed, and a word or two)."""
    target: int
    """Number of the document whose words it uses."""


class Language:
    """A vocabulary with frequencies, topics and one vector a word.

    Args:
        seed: all that is random follows from it.
        words, topics: size of the vocabulary and number of topics.
        dimensions: length of the vectors.
    """

    def __init__(
        self, *, seed: int = 1, words: int = 40_000, topics: int = 500, dimensions: int = 384
    ) -> None:
        self.seed, self.topics, self.dimensions = seed, topics, dimensions
        self.words = _made_up_words(np.random.default_rng(seed), words)
        # Mandelbrot's offset keeps the first content word to about a quarter of all documents, as in English
        self.frequencies = _normalised(1 / (np.arange(words) + 10.0))
        self.anywhere_cdf = np.cumsum(self.frequencies)
        self.own_cdf = np.cumsum(_zipf((words - COMMON_WORDS) // topics))
        self._numbers = {word: number for number, word in enumerate(self.words)}

    @cached_property
    def brands(self) -> tuple[str, ...]:
        return tuple(
            name.capitalize() for name in _made_up_words(np.random.default_rng(self.seed + 1), BRANDS)
        )

    def draw(self, rng: np.random.Generator, topics: Sequence[int], count: int) -> NDArray[np.int64]:
        """``count`` word numbers; SHARE_OF_TOPIC_WORDS of them are the own words of one of the topics."""
        anywhere = np.searchsorted(self.anywhere_cdf, rng.random(count))
        own = (
            COMMON_WORDS
            + self.topics * np.searchsorted(self.own_cdf, rng.random(count))
            + rng.choice(topics, count)
        )
        return np.where(rng.random(count) < SHARE_OF_TOPIC_WORDS, own, anywhere)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """One weighted vector a word: its topic's direction and as much of its own, longer when rare."""
        rng = np.random.default_rng(self.seed + 2)
        own = _unit_rows(rng.standard_normal((len(self.words), self.dimensions)).astype(np.float32))
        centres = _unit_rows(rng.standard_normal((self.topics, self.dimensions)).astype(np.float32))
        topic = (np.arange(len(self.words)) - COMMON_WORDS) % self.topics
        own[COMMON_WORDS:] = (own + centres[topic])[COMMON_WORDS:] / np.sqrt(2)
        return np.asarray(own * -np.log(self.frequencies)[:, None] / 10, dtype=np.float32)

    def embed(self, text: str) -> NDArray[np.float32]:
        """Unit vector of a text: the sum of its words' vectors; without known words, one fixed direction."""
        numbers = [self._numbers[w] for w in re.findall(r"[a-z]+", text.lower()) if w in self._numbers]
        total = self._vectors[numbers].sum(axis=0) if numbers else np.ones(self.dimensions)
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


class Corpus:
    """``documents`` rows of one language, and queries about them."""

    def __init__(self, documents: int, *, language: Language | None = None, seed: int = 7) -> None:
        self.language = language or Language()
        self.documents, self.seed = documents, seed

    def __iter__(self) -> Iterator[Row]:
        return (self.row(number) for number in range(self.documents))

    def row(self, number: int) -> Row:
        """Each row follows from its number alone, so that a worker can make any part of the corpus."""
        rng = np.random.default_rng((self.seed, number))
        words = self._words(rng)
        letters = "".join(rng.choice(list("ABCDEFGHKLMNPRSTVWX"), 3))
        return Row(
            key=f"d{number}",
            title=" ".join(words[:TITLE_WORDS]).capitalize(),
            text=" ".join(words[TITLE_WORDS:]).capitalize() + ".",
            part_number=f"{letters}-{number + 1000}{'ABC'[number % 3]}",
            brand=self.language.brands[int(rng.integers(BRANDS))],
            ean=f"50{int(rng.integers(10**10)):010d}{number % 10}",
        )

    def _words(self, rng: np.random.Generator) -> list[str]:
        count = TITLE_WORDS + TEXT_WORDS
        first, second = rng.integers(self.language.topics, size=2)
        content = self.language.draw(rng, (first, first, second), count)
        fillers = np.searchsorted(_STOP_WORDS_CDF, rng.random(count))
        stop = rng.random(count) < SHARE_OF_STOP_WORDS
        return [
            STOP_WORDS[filler] if is_stop else self.language.words[number]
            for number, filler, is_stop in zip(content, fillers, stop, strict=True)
        ]

    def queries(self, count: int) -> list[Query]:
        """Of twenty: 14 of 3 to 8 words about one document, 3 with its brand, 3 with its part number."""
        rng = np.random.default_rng((self.seed, 1 << 40))
        return [self._query(rng, ("words",) * 14 + ("brand",) * 3 + ("code",) * 3, n) for n in range(count)]

    def _query(self, rng: np.random.Generator, kinds: Sequence[str], position: int) -> Query:
        # 3 has no factor in common with 20: kinds come mixed, not in blocks
        kind = kinds[position * 3 % len(kinds)]
        target = int(rng.integers(self.documents))
        row = self.row(target)
        content = sorted(set(re.findall(r"[a-z]+", row.text.lower())) - set(STOP_WORDS))
        least, most = {"words": (3, 8), "brand": (2, 7), "code": (1, 2)}[kind]
        own = rng.permutation(content)[: rng.integers(least, most + 1)]
        foreign = np.searchsorted(self.language.anywhere_cdf, rng.random(len(own)))
        picked = [
            self.language.words[other] if rng.random() < SHARE_OF_FOREIGN_WORDS else str(word)
            for word, other in zip(own, foreign, strict=True)
        ]
        if kind == "brand":
            picked.insert(0, row.brand.lower())
        if kind == "code":
            picked.insert(0, _as_typed(row.part_number, position))
        return Query(" ".join(picked), kind, target)


class SyntheticEmbedder:
    """The embedder of a :class:`Language`: microseconds a text, the same vector in every process."""

    model = "synthetic"
    revision = "1"
    max_tokens = 512
    document_prefix = query_prefix = ""
    remote = False

    def __init__(self, *, seed: int = 1) -> None:
        self.language = Language(seed=seed)
        self.dimensions = self.language.dimensions
        self._queries: dict[str, array[float]] = {}

    def embed_documents(self, texts: Sequence[str], *, timeout_s: float | None = None) -> list[array[float]]:
        return [array("f", self.language.embed(text).tobytes()) for text in texts]

    def embed_query(self, text: str, *, timeout_s: float | None = None) -> array[float]:
        if text not in self._queries:
            self._queries[text] = self.embed_documents([text])[0]
        return self._queries[text]

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]


def _as_typed(part_number: str, position: int) -> str:
    """Exact, lower case, without the separator, or with a blank for it."""
    lower = part_number.lower()
    return (part_number, lower, lower.replace("-", ""), lower.replace("-", " "))[position % 4]


def _made_up_words(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Distinct words of one to three syllables; the first (the frequent) ones are the shortest."""
    syllables = [onset + nucleus + coda for onset in ONSETS for nucleus in NUCLEI for coda in CODAS]
    numbers = iter(rng.integers(len(syllables), size=count * 8))
    found: dict[str, None] = dict.fromkeys(())
    while len(found) < count:
        parts = 1 if len(found) < count // 200 else 2 if len(found) < count // 2 else 3
        word = "".join(syllables[next(numbers)] for _ in range(parts))
        if len(word) > 2 and word not in STOP_WORDS:
            found.setdefault(word)
    return tuple(found)


def _zipf(count: int) -> NDArray[np.float64]:
    return _normalised(1 / (np.arange(count) + 2.0))


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(weights / weights.sum())


_STOP_WORDS_CDF = np.cumsum(_zipf(len(STOP_WORDS)))


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
