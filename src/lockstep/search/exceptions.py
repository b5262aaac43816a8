"""What search raises. Every text says what to do next."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from lockstep.core.exceptions import LockstepError

__all__ = [
    "BadAnswer",
    "BadVector",
    "DeclarationError",
    "EmbedderError",
    "EmbedderMisconfigured",
    "EmbedderRefused",
    "EmbedderTimeout",
    "EmbedderUnavailable",
    "QueryError",
    "SearchError",
    "SpaceError",
    "TextError",
    "WrongDimensions",
]


class SearchError(LockstepError):
    """Search cannot go on."""


class DeclarationError(SearchError, ImproperlyConfigured):
    """The SearchIndex is declared in a way that cannot work."""


class TextError(SearchError, ValueError):
    """A text cannot be stored or embedded."""


class SpaceError(SearchError, RuntimeError):
    """The embedding space in the database is not the one that the settings name."""


class QueryError(SearchError, ValueError):
    """The search was called with something that means nothing."""


class EmbedderError(SearchError):
    """The embedder gave no usable vectors. ``retryable`` says whether the same call may succeed later."""

    retryable: bool = False


class EmbedderMisconfigured(EmbedderError, ImproperlyConfigured):
    """The embedder cannot be built from its settings."""


class EmbedderTimeout(EmbedderError, TimeoutError):
    """The embedder did not answer in time. Try again, or allow more time."""

    retryable = True


class EmbedderUnavailable(EmbedderError, ConnectionError):
    """The embedder cannot be reached, is overloaded or failed. Try again later."""

    retryable = True
    status: int | None = None
    """HTTP status; None when there was no answer."""
    retry_after_s: float | None = None
    """How long the provider asked to wait, in seconds."""


class EmbedderRefused(EmbedderError, ValueError):
    """The embedder refused the request: sending it again will not help."""

    status: int | None = None


class BadAnswer(EmbedderError, ValueError):
    """The embedder answered with something that is not one vector for each text."""


class WrongDimensions(BadAnswer):
    """A vector has another number of dimensions than the embedder declares."""


class BadVector(BadAnswer):
    """A vector is zero, not finite or not made of numbers: it has no direction to compare."""
