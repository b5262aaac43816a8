"""System check of the registry of subjects. Its id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from lockstep.privacy.rights.tables import problems

__all__ = ["check_subjects"]


def check_subjects(**_: Any) -> list[CheckMessage]:
    """E010: a registered table cannot be found, or not be erased from."""
    return [
        Error(
            text,
            hint="See lockstep.core.ports.Subject and docs/howto/rights.md. Nobody is erased or exported until then.",
            id="lockstep_privacy.E010",
        )
        for text in problems()
    ]
