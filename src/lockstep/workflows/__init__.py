"""LangGraph graphs as durable runs: on Celery, with their state in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lockstep.workflows.answers import answer, answer_input
    from lockstep.workflows.controls import cancel, retry
    from lockstep.workflows.inbox.receiving import receive
    from lockstep.workflows.links import review_url
    from lockstep.workflows.questions import Review, request_review, sleep_until, wait_for_event
    from lockstep.workflows.registry import workflow
    from lockstep.workflows.replays.replaying import replay
    from lockstep.workflows.replays.transfer import export_run, import_run
    from lockstep.workflows.saver import DjangoSaver
    from lockstep.workflows.starting import start
    from lockstep.workflows.tools.declaration import Backoff, Tool, tool
    from lockstep.workflows.tools.flow import Outcome
    from lockstep.workflows.tools.threads import abandoned

__all__ = [
    "Backoff",
    "DjangoSaver",
    "Outcome",
    "Review",
    "Tool",
    "abandoned",
    "answer",
    "answer_input",
    "cancel",
    "export_run",
    "import_run",
    "receive",
    "replay",
    "request_review",
    "retry",
    "review_url",
    "sleep_until",
    "start",
    "tool",
    "wait_for_event",
    "workflow",
]

_PLACES = {
    "Backoff": "tools.declaration",
    "DjangoSaver": "saver",
    "Outcome": "tools.flow",
    "Review": "questions",
    "Tool": "tools.declaration",
    "abandoned": "tools.threads",
    "answer": "answers",
    "answer_input": "answers",
    "cancel": "controls",
    "export_run": "replays.transfer",
    "import_run": "replays.transfer",
    "receive": "inbox.receiving",
    "replay": "replays.replaying",
    "request_review": "questions",
    "retry": "controls",
    "review_url": "links",
    "sleep_until": "questions",
    "start": "starting",
    "tool": "tools.declaration",
    "wait_for_event": "questions",
    "workflow": "registry",
}


def __getattr__(name: str) -> Any:
    """Names of the package that need models or LangGraph come when they are asked for: apps are still loading."""
    from importlib import import_module

    if name in _PLACES:
        return getattr(import_module(f"lockstep.workflows.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
