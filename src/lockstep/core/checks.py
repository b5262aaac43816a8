"""System checks of core. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured

from lockstep.core import conf, ports
from lockstep.core.notify.registry import get_sink
from lockstep.core.settings import settings

__all__ = ["check_settings", "check_sinks"]

PLACE = 'LOCKSTEP["core"]["notify"]["sinks"]'


def check_settings(**_: Any) -> list[CheckMessage]:
    """E001: the ``LOCKSTEP`` setting has an unknown section or key, or a value that cannot be used."""
    return [Error(problem.text, hint=problem.hint, id="lockstep_core.E001") for problem in conf.problems()]


def check_sinks(**_: Any) -> list[CheckMessage]:
    """E002: a sink cannot be built. W001: one cannot send as things are. I001: notices are written, nobody is told."""
    try:
        sinks = settings().notify.sinks
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    written = ports.topics.get()
    if not sinks and written:
        return [
            Info(
                f"Notices are written ({', '.join(sorted(written))}), and nobody is told: there is no sink.",
                hint=f'{PLACE} = {{"ops": {{"BACKEND": "lockstep.core.notify.sinks.Mail"}}}}, and keep manage.py'
                " lockstep_notify --follow running. See docs/howto/alerts.md.",
                id="lockstep_core.I001",
            )
        ]
    return [message for alias in sinks for message in _sink(alias)]


def _sink(alias: str) -> Iterator[CheckMessage]:
    try:
        sink = get_sink(alias)
    except ImproperlyConfigured as error:
        yield Error(f"The sink {alias!r} cannot be built.", hint=str(error), id="lockstep_core.E002")
        return
    for problem in getattr(sink, "problems", tuple)():
        yield Warning(
            f"The sink {alias!r} cannot send: {problem}",
            hint="Its notices wait in the outbox. Variables must be set for every process that delivers.",
            id="lockstep_core.W001",
        )
