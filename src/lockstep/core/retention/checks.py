"""System checks of retention. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage

__all__ = ["check_retention", "check_roles"]


def check_retention(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    return []


def check_roles(*, databases: Any = None, **_: Any) -> list[CheckMessage]:
    return []
