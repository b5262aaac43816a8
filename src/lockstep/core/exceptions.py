"""The root of every error that lockstep raises.

``except LockstepError`` catches them all; each leaf also inherits the standard class that a caller
who never heard of lockstep would catch (``ValueError``, ``TimeoutError`` …).
"""

from __future__ import annotations

import inspect
from typing import Any

from django.core.exceptions import ImproperlyConfigured

__all__ = [
    "FeatureError",
    "LockstepError",
    "NotRedacted",
    "NotifyError",
    "PortError",
    "SignatureError",
    "SinkError",
    "SinkMisconfigured",
    "SinkRefused",
    "SinkTimeout",
    "SinkUnavailable",
]


class LockstepError(Exception):
    """Something in lockstep cannot go on.

    The first paragraph of a subclass's docstring is its default message. Facts ride as attributes:
    ``raise SearchError("…", index="shop.Article.search")`` sets ``error.index``.
    """

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        super().__init__(message or _first_paragraph(type(self)))
        self.__dict__.update(facts)


class FeatureError(LockstepError, ValueError):
    """The feature is not declared, or declared wrongly. Call core.features.declare once."""


class PortError(LockstepError, RuntimeError):
    """The port is taken. Only one app may serve it: take one of the two out of INSTALLED_APPS."""


class NotifyError(LockstepError):
    """A notice cannot be delivered."""


class SinkMisconfigured(NotifyError, ImproperlyConfigured):
    """The sink cannot be used as it is configured. See LOCKSTEP["core"]["notify"]["sinks"]."""


class SinkError(NotifyError):
    """The sink did not take the message. It is tried again.

    The text is kept and shown to people: it names no secret, no address with one, and nothing that the other side said.
    """

    retry_after_s: float | None = None
    """How long the other side wants to be left alone."""


class SinkUnavailable(SinkError, ConnectionError):
    """The sink cannot be reached, or takes nothing now. All its messages wait."""


class SinkTimeout(SinkUnavailable, TimeoutError):
    """The sink did not answer in time. All its messages wait."""


class SinkRefused(SinkError, ValueError):
    """The sink refused this message. Others go on."""


class SignatureError(NotifyError, ValueError):
    """The request was not signed with this secret, was changed on its way, or is too old. Do not act on it."""


class NotRedacted(LockstepError, TypeError):
    """Only a redactor's copy may be kept here. Pass what ports.redaction.get().redact(content) returns."""


def _first_paragraph(cls: type) -> str:
    paragraph = (inspect.getdoc(cls) or cls.__name__).split("\n\n", 1)[0]
    return " ".join(paragraph.split())
