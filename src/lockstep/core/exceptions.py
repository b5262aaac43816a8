"""The root of every error that lockstep raises.

``except LockstepError`` catches them all; each leaf also inherits the standard class that a caller
who never heard of lockstep would catch (``ValueError``, ``TimeoutError`` …).
"""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["FeatureError", "LockstepError", "NotRedacted", "PortError"]


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


class NotRedacted(LockstepError, TypeError):
    """Only a redactor's copy may be kept here. Pass what ports.redaction.get().redact(content) returns."""


def _first_paragraph(cls: type) -> str:
    paragraph = (inspect.getdoc(cls) or cls.__name__).split("\n\n", 1)[0]
    return " ".join(paragraph.split())
