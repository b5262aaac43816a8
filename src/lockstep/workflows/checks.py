"""System checks of workflows. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from lockstep.core.placement import misplaced
from lockstep.workflows.conf import settings

__all__ = ["check_database", "check_langgraph", "check_times", "check_types"]

SERIES = "1.2"
"""Series of LangGraph whose own tests pass with our checkpointer."""


def check_database(**_: Any) -> list[CheckMessage]:
    """E001: the database of the runs cannot hold them. E002: a router keeps them in another one."""
    from lockstep.workflows.models import Run

    effects = {Run: "the project would not see the runs that its workers take up"}
    try:
        alias = settings().database
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    return list(
        misplaced(
            "workflows",
            alias,
            effects,
            unusable="lockstep_workflows.E001",
            elsewhere="lockstep_workflows.E002",
        )
    )


def check_types(**_: Any) -> list[CheckMessage]:
    """E003: a class that may stand in a state is not there, so what was stored of it cannot be read."""
    try:
        names = settings().types
    except ImproperlyConfigured:
        return []
    return [
        Error(
            f'LOCKSTEP["workflows"]["types"] names {name!r}, and {trouble}.',
            hint="Write the dotted name of the class: shop.agents.Refund. Keep a class that was moved importable by its"
            " old name until the last run with it has expired.",
            id="lockstep_workflows.E003",
        )
        for name in names
        if (trouble := _trouble(name))
    ]


def check_times(**_: Any) -> list[CheckMessage]:
    """E005: moments without a time zone."""
    if django_settings.USE_TZ:
        return []
    return [
        Error(
            "lockstep.workflows needs USE_TZ = True: leases, deadlines and answers are moments, not clock faces.",
            hint="Set USE_TZ = True; Django's docs say how a project moves over.",
            id="lockstep_workflows.E005",
        )
    ]


def check_langgraph(**_: Any) -> list[CheckMessage]:
    """W001: another LangGraph than the one that runs are tested with."""
    try:
        found = version("langgraph")
    except PackageNotFoundError:
        return [
            Error(
                "lockstep.workflows needs LangGraph.",
                hint='python -m pip install "django-lockstep[workflows]"',
                id="lockstep_workflows.E004",
            )
        ]
    if found.startswith(f"{SERIES}."):
        return []
    return [
        Warning(
            f"LangGraph {found} is installed; runs are tested with {SERIES}.",
            hint=f'python -m pip install "langgraph=={SERIES}.*"',
            id="lockstep_workflows.W001",
        )
    ]


def _trouble(name: str) -> str:
    try:
        found = import_string(name)
    except Exception as error:  # whatever a module raises
        return f"it cannot be imported: {error}"
    return "" if isinstance(found, type) else f"that is no class but {type(found).__name__}"
