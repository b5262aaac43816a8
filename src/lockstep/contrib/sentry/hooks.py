"""The hooks that Sentry's SDK calls before anything leaves, and the options to start it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from lockstep.contrib.sentry import events, spans
from lockstep.contrib.sentry.texts import WITHHELD, Texts

__all__ = [
    "HOOKS",
    "Scrubber",
    "before_breadcrumb",
    "before_send",
    "before_send_log",
    "before_send_metric",
    "before_send_span",
    "before_send_transaction",
    "init_options",
]

AS_IT_WAS = ("before_breadcrumb", "before_send_span")
"""Hooks after whose failure the SDK sends what it had before ours."""
Hook = Callable[[Any, Any], Any]
H = TypeVar("H", bound=Callable[..., Any])

HOOKS = (
    "before_send",
    "before_send_transaction",
    "before_breadcrumb",
    "before_send_log",
    "before_send_metric",
)
"""Options of the SDK that ``init_options`` sets; with streamed spans ``before_send_span`` too."""
QUIET = {"send_default_pii": False, "include_local_variables": False, "max_request_body_size": "never"}
"""What need not be collected, since none of it may leave. Other values change nothing of what leaves."""


def scrubs(fallback: Callable[[Any], Any]) -> Callable[[H], H]:
    """Marks a hook as one of ours, and lets nothing out when it fails: the SDK would send some things as they were."""

    def decorate(hook: H) -> H:
        @wraps(hook)
        def guarded(self: Scrubber, given: Any, hint: Any = None) -> Any:
            try:
                return hook(self, given, hint)
            except Exception as error:
                return fallback((given, error))

        guarded.lockstep_scrubs = True  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


def _nothing(_: Any) -> None:
    return None


def _that_it_failed(what: tuple[Any, Exception]) -> dict[str, Any]:
    given, error = what
    kept = {key: given[key] for key in ("event_id", "timestamp", "platform") if key in given}
    return kept | {"level": "error", "message": f"An event could not be scrubbed: {type(error).__name__}"}


def _empty_span(what: tuple[Any, Exception]) -> dict[str, Any]:
    return {**what[0], "name": WITHHELD, "attributes": {}}


class Scrubber:
    """The hooks, for ``sentry_sdk.init(before_send=…)`` and its siblings. They may stand alone or in ``init_options``.

    Args:
        feature: whose policy holds for the texts of what happens outside of every feature: messages, values of
            exceptions, lines of logs. Empty keeps none of them.
    """

    def __init__(self, feature: str = "") -> None:
        self.texts = Texts(feature)

    @scrubs(_that_it_failed)
    def before_send(self, event: dict[str, Any], hint: Any = None) -> dict[str, Any] | None:
        if isinstance(hint, dict):
            hint.pop("attachments", None)
        return events.event(event, self.texts)

    @scrubs(_nothing)
    def before_send_transaction(self, event: dict[str, Any], hint: Any = None) -> dict[str, Any] | None:
        if isinstance(hint, dict):
            hint.pop("attachments", None)
        return events.event(event, self.texts)

    @scrubs(_nothing)
    def before_breadcrumb(self, crumb: dict[str, Any], hint: Any = None) -> dict[str, Any] | None:
        return events.breadcrumb(crumb, self.texts)

    @scrubs(_nothing)
    def before_send_log(self, log: dict[str, Any], hint: Any = None) -> dict[str, Any] | None:
        return events.log(log, self.texts)

    @scrubs(_nothing)
    def before_send_metric(self, metric: dict[str, Any], hint: Any = None) -> dict[str, Any] | None:
        return {**metric, "attributes": spans.tags(metric.get("attributes"))}

    @scrubs(_empty_span)
    def before_send_span(self, span: dict[str, Any], hint: Any = None) -> dict[str, Any]:
        return spans.streamed(span, self.texts)


def init_options(*, feature: str = "", **options: Any) -> dict[str, Any]:
    """Options for ``sentry_sdk.init``: yours, with the hooks in front of your own.

    Your hook gets what ours leaves, and may drop it or change it. It sees the exception itself in its ``hint``: what it
    takes from there is its own affair.

    Args:
        feature: see ``Scrubber``.
        options: as ``sentry_sdk.init`` takes them.
    """
    ours, chosen = Scrubber(feature), {**QUIET, **options}
    experiments = dict(chosen.get("_experiments") or {})
    hooks = (*HOOKS, "before_send_span") if _streams(chosen, experiments) else HOOKS
    for name in hooks:
        tried = experiments.pop(name, None)
        chosen[name] = _chained(name, getattr(ours, name), chosen.get(name) or tried)
    if "_experiments" in chosen:
        chosen["_experiments"] = experiments
    return chosen


def _streams(options: Mapping[str, Any], experiments: Mapping[str, Any]) -> bool:
    return "stream" in (options.get("trace_lifecycle"), experiments.get("trace_lifecycle"))


def _chained(name: str, ours: Hook, theirs: Hook | None) -> Hook:
    if theirs is None:
        return ours

    def both(given: Any, hint: Any) -> Any:
        left = ours(given, hint)
        if left is None:
            return None
        try:
            return theirs(left, hint)
        except Exception:
            if name in AS_IT_WAS:
                return left
            raise  # the SDK drops it

    both.lockstep_scrubs = True  # type: ignore[attr-defined]
    return both


_default = Scrubber()
before_send = _default.before_send
before_send_transaction = _default.before_send_transaction
before_breadcrumb = _default.before_breadcrumb
before_send_log = _default.before_send_log
before_send_metric = _default.before_send_metric
before_send_span = _default.before_send_span
