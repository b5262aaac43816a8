"""Which workflows there are: functions that build a LangGraph graph, by name and version."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.module_loading import autodiscover_modules

from lockstep.workflows.exceptions import UnknownWorkflow

if TYPE_CHECKING:
    from lockstep.workflows.graphs import Graph

__all__ = ["Workflow", "every", "find", "load", "newest", "queue", "workflow"]

NAME = re.compile(r"[a-zA-Z0-9_.\-]{1,100}")
F = TypeVar("F", bound=Callable[[], Any])


@dataclass(frozen=True)
class Workflow:
    """One version of a workflow as this deploy has it."""

    name: str
    version: str
    build: Callable[[], Any]
    """Returns a ``StateGraph`` or a compiled graph, as ``create_agent`` does."""
    queue: str = ""
    """Celery queue of its doorbells."""
    feature: str | None = None
    """Feature that its calls to models belong to where a node names none."""
    recursion_limit: int = 1000
    """Transitions at most, as LangGraph counts them."""
    node_timeout_s: float | None = None
    """Another than that of the settings."""
    _built: list[Graph] = field(default_factory=list, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def graph(self) -> Graph:
        """The graph, built once a process."""
        from lockstep.workflows.graphs import Graph  # LangGraph takes a second that no other command should

        with self._lock:
            if not self._built:
                self._built.append(Graph(self.build()))
        return self._built[0]


_workflows: dict[str, dict[str, Workflow]] = {}
_discovered = False


def workflow(
    name: str,
    *,
    version: str = "1",
    queue: str = "",
    feature: str | None = None,
    recursion_limit: int = 1000,
    node_timeout_s: float | None = None,
) -> Callable[[F], F]:
    """Declare a workflow, in the module ``workflows`` of an app::

        @workflow("refund", version="3")
        def refund() -> StateGraph: ...

    A run goes on with the version that it began with: an old one stays declared until its last run has ended. New runs
    take the newest (``10`` is newer than ``9``).

    Raises:
        ValueError: the name or the version has other signs than letters, digits, dots, dashes and underscores.
        TypeError: the same version is declared twice.
    """
    for what, given in (("name", name), ("version", version)):
        if not isinstance(given, str) or not NAME.fullmatch(given):
            raise ValueError(
                f"The {what} of a workflow has letters, digits, dots, dashes and underscores, not {given!r}."
            )

    def declare(build: F) -> F:
        versions = _workflows.setdefault(name, {})
        known = versions.get(version)
        if known is not None and _place(known.build) != _place(build):
            raise TypeError(
                f"Workflow {name!r} has its version {version!r} already, in {_place(known.build)}: give this one"
                " another."
            )
        versions[version] = Workflow(name, version, build, queue, feature, recursion_limit, node_timeout_s)
        return build

    return declare


def find(name: str, version: str) -> Workflow:
    """That version.

    Raises:
        UnknownWorkflow: this deploy does not have it.
    """
    versions = _known().get(name)
    if versions is None:
        raise UnknownWorkflow(_unknown(name), workflow=name)
    if version not in versions:
        raise UnknownWorkflow(
            f"Workflow {name!r} has no version {version!r} here, only {', '.join(sorted(versions, key=_natural))}."
            " Keep a version declared until its last run has ended.",
            workflow=name, version=version,
        )  # fmt: skip
    return versions[version]


def newest(name: str) -> Workflow:
    """The version that new runs take.

    Raises:
        UnknownWorkflow: there is none of that name.
    """
    versions = _known().get(name)
    if not versions:
        raise UnknownWorkflow(_unknown(name), workflow=name)
    return versions[max(versions, key=_natural)]


def queue(name: str) -> str:
    """Celery queue of a workflow's doorbells; empty where this deploy does not have it."""
    try:
        return newest(name).queue
    except UnknownWorkflow:
        return ""


def every() -> Iterable[Workflow]:
    """All versions of all workflows."""
    return [found for versions in _known().values() for found in versions.values()]


def load() -> None:
    """Import the module ``workflows`` of each installed app, once."""
    global _discovered
    if not _discovered:
        autodiscover_modules("workflows")
        _discovered = True


def _known() -> Mapping[str, Mapping[str, Workflow]]:
    load()
    return _workflows


def _unknown(name: str) -> str:
    near = get_close_matches(name, _workflows, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"There is no workflow {name!r}.{meant} Declare it with @workflow in the module ``workflows`` of an installed"
        " app."
    )


def _natural(version: str) -> list[tuple[int, int, str]]:
    return [
        (1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|[^\d.]+", version)
    ]


def _place(build: Callable[[], Any]) -> str:
    return f"{build.__module__}.{build.__qualname__}"
