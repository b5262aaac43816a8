"""What an embedder promises, and the checks that hold every backend to it."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lockstep.core import context, ports
from lockstep.search.exceptions import BadAnswer, BadVector, EmbedderTimeout, WrongDimensions

__all__ = ["BaseEmbedder", "Deadline", "Embedder", "Vector", "checked", "unit"]

#: One embedding: float32, of length 1. ``list(vector)`` or ``vector.tolist()`` for drivers that want lists.
Vector: TypeAlias = "array[float]"

#: Shorter than this a vector has no direction worth comparing.
SHORTEST = 1e-12

#: Tokens that a model puts around a text.
MARKS = 2


class Embedder(Protocol):
    """Turns text into vectors that can be compared by cosine. Safe to share between threads and forks."""

    @property
    def model(self) -> str:
        """Name of the model; with ``revision`` it decides which vectors may be compared."""

    @property
    def revision(self) -> str:
        """Which edition of the model; empty when the provider has none."""

    @property
    def dimensions(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Tokens that the model reads of one text, special ones included; the rest it ignores or refuses."""

    @property
    def document_prefix(self) -> str:
        """Put before every document, as the model was trained ("passage: ")."""

    @property
    def query_prefix(self) -> str: ...

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine."""

    def embed_documents(self, texts: Sequence[str], *, timeout_s: float | None = None) -> list[Vector]:
        """One vector a text, in order.

        Args:
            texts: any number, of any length; each without the prefix.
            timeout_s: longest wait for all of them; None takes the backend's own limit.

        Raises:
            EmbedderError: see ``lockstep.search.exceptions``; ``retryable`` says whether to try again.
        """

    def embed_query(self, text: str, *, timeout_s: float | None = None) -> Vector:
        """The vector to compare documents with. Errors as ``embed_documents``."""

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` as a document, prefix and special tokens included; remote models estimate."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """``(start, end)`` of each token in characters, ascending, without prefix and special tokens."""


class BaseEmbedder(ABC):
    """The shared half of a backend: prefixes, checks and metering. A new backend writes ``_embed``
    and the two token methods."""

    model: str
    dimensions: int
    max_tokens: int
    provider: str = "local"
    remote: bool = False
    endpoint: str = ""
    """Base URL that texts go to; empty where they stay in this process."""
    timeout_s: float | None = None
    """Longest wait for one call when the caller names none, in seconds; None waits."""

    def __init__(self, *, document_prefix: str = "", query_prefix: str = "", revision: str = "") -> None:
        self.document_prefix = document_prefix
        self.query_prefix = query_prefix
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    def embed_documents(self, texts: Sequence[str], *, timeout_s: float | None = None) -> list[Vector]:
        if isinstance(texts, str):
            raise TypeError("embed_documents takes a list of texts; embed_query takes one text.")
        return self._vectors([self.document_prefix + text for text in texts], timeout_s)

    def embed_query(self, text: str, *, timeout_s: float | None = None) -> Vector:
        return self._vectors([self.query_prefix + text], timeout_s)[0]

    @abstractmethod
    def count_tokens(self, text: str) -> int: ...

    @abstractmethod
    def token_spans(self, text: str) -> list[tuple[int, int]]: ...

    @abstractmethod
    def _embed(self, texts: Sequence[str], deadline: Deadline) -> Sequence[Sequence[float]]:
        """One row of numbers a text, in order; of any length. Runs inside ``self.measure()``."""

    def close(self) -> None:  # noqa: B027 -- most backends hold nothing open
        """Give back connections. The embedder stays usable and opens new ones."""

    def measure(self, texts: Sequence[str] = ()) -> AbstractContextManager[ports.Usage]:
        """Surrounds one attempt, so that whoever meters learns what it used.

        Args:
            texts: what a remote model is given, for what it may cost at most.
        """
        return ports.metering.get().measure(
            operation="embeddings",
            provider=self.provider,
            model=self.model,
            feature=context.current().feature,
            remote=self.remote,
            # no tokeniser makes more tokens than bytes, but for the marks around a text
            endpoint=self.endpoint,
            most_tokens=sum(len(text.encode("utf-8", "surrogatepass")) + MARKS for text in texts),
        )

    def _vectors(self, texts: Sequence[str], timeout_s: float | None) -> list[Vector]:
        if not texts:
            return []
        deadline = Deadline.after(self.timeout_s if timeout_s is None else timeout_s)
        rows = self._embed([encodable(text) for text in texts], deadline)
        return checked(rows, count=len(texts), dimensions=self.dimensions)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model}>"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which a call must be answered, on the monotonic clock."""

    at: float = math.inf

    @classmethod
    def after(cls, timeout_s: float | None) -> Deadline:
        return cls() if timeout_s is None else cls(time.monotonic() + timeout_s)

    def left_s(self) -> float:
        """Seconds left; negative when it has passed, infinite when there is none."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raises: EmbedderTimeout: the moment has passed."""
        if self.left_s() <= 0:
            raise EmbedderTimeout


def checked(rows: Sequence[Sequence[float]], *, count: int, dimensions: int) -> list[Vector]:
    """Hold a backend's answer to the promise: ``count`` vectors of ``dimensions`` numbers, made unit length.

    Raises:
        BadAnswer: not as many vectors as texts.
        WrongDimensions, BadVector: see ``unit``.
    """
    if len(rows) != count:
        raise BadAnswer(
            f"The embedder answered {len(rows)} vectors for {count} texts.", wanted=count, got=len(rows)
        )
    return [unit(row, dimensions) for row in rows]


def unit(row: Sequence[float], dimensions: int) -> Vector:
    """The same direction with length 1, as float32.

    Raises:
        WrongDimensions: ``row`` has another length than ``dimensions``.
        BadVector: it holds NaN, infinity or no numbers, or is zero.
    """
    if len(row) != dimensions:
        raise WrongDimensions(
            f"The embedder answered a vector of {len(row)} dimensions, {dimensions} are configured. "
            'Correct OPTIONS["dimensions"] (a new embedding space) or the model.',
            wanted=dimensions,
            got=len(row),
        )
    try:
        length = math.hypot(*row)
    except TypeError:
        raise BadVector("The embedder answered a vector that is not made of numbers.") from None
    if not (math.isfinite(length) and length > SHORTEST):
        raise BadVector(f"The embedder answered a vector of length {length}: it has no direction to compare.")
    return array("f", [number / length for number in row])


def encodable(text: str) -> str:
    """``text`` with each lone surrogate made a question mark, position by position: models read UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
