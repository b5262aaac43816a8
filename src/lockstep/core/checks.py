"""System checks of core. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from lockstep.core import conf

__all__ = ["check_settings"]


def check_settings(**_: Any) -> list[CheckMessage]:
    """E001: the ``LOCKSTEP`` setting has an unknown section or key, or a value that cannot be used."""
    return [Error(problem.text, hint=problem.hint, id="lockstep_core.E001") for problem in conf.problems()]
