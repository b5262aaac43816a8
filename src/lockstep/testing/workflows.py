"""Runs in your tests: in the test's own process and transaction, crashed where you say, with time passing when you say.

::

    def test_a_refund_survives_its_worker(db):
        with crash_at("pay"):
            run = run_inline("refund", {"order": 7})   # dies in the node, as if by SIGKILL
        run = go_on(run)                                # another worker takes it over
        assert run.status == "succeeded"
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

from django.db import connections

from lockstep.workflows import engine, start, tracing
from lockstep.workflows.conf import settings
from lockstep.workflows.models import Run
from lockstep.workflows.sweeping import due
from lockstep.workflows.tracing import Attempt

__all__ = ["Crashed", "crash_at", "go_on", "pass_time", "run_inline"]

Moment = Literal["before", "after"]
ADVANCES = 100
"""Workers that one call may play: a run that wants more goes round in circles."""


class Crashed(BaseException):
    """The worker is dead. No ``except Exception`` of a graph sees it, as nothing sees a SIGKILL."""


def run_inline(name: str, input: Any, **options: Any) -> Run:  # noqa: A002 -- as start() has it
    """Start a run and take it as far as it goes: to its end, or to what it waits for.

    Args:
        options: as ``lockstep.workflows.start`` takes them.
    """
    run = start(name, input, **options)
    _work(run)
    return _fresh(run)


def go_on(run: Run) -> Run:
    """What workers would do now: take over from one that died, go on with answers and with what has come due."""
    due(patience_s=0)
    _work(run)
    return _fresh(run)


def pass_time(run: Run, span: timedelta) -> Run:
    """Let everything that the run waits for come nearer by ``span``: timers, and the ends of questions."""
    with connections[settings().database].cursor() as cursor:
        cursor.execute(
            "UPDATE lockstep_workflows_wait SET due_at = due_at - make_interval(secs => %s)"
            " WHERE run_id = %s AND status = 'open'",
            [span.total_seconds(), run.pk],
        )
        cursor.execute(
            "UPDATE lockstep_workflows_run SET wake_at = wake_at - make_interval(secs => %s) WHERE id = %s",
            [span.total_seconds(), run.pk],
        )
    return _fresh(run)


@contextmanager
def crash_at(node: str, when: Moment = "before") -> Iterator[None]:
    """The first worker that comes to ``node`` in this block dies there: ``before`` the node is run, or ``after`` it
    was, with nothing of what it returned stored. What the node did to the world by then has happened."""

    class Dying(tracing.Tracer):
        def begun(self, task: str, node: str, step: int | None, number: int, ns: str = "") -> Attempt:
            self._die("before", node)
            return super().begun(task, node, step, number, ns)

        def ended(self, attempt: Attempt, error: BaseException | None) -> None:
            super().ended(attempt, error)
            self._die("after", attempt.node)

        def _die(self, moment: Moment, name: str) -> None:
            if (moment, name) == (when, wanted) and not died:
                died.append(name)
                raise Crashed(name)

    wanted = node
    died: list[str] = []
    real = tracing.Tracer
    tracing.Tracer = Dying  # type: ignore[misc]
    try:
        yield
    finally:
        tracing.Tracer = real  # type: ignore[misc]
    if not died:
        raise AssertionError(f"No worker came to the node {node!r}.")


def _work(run: Run) -> None:
    for _ in range(ADVANCES):
        try:
            status = engine.advance(str(run.pk))
        except Crashed:
            _orphan(run)
            return
        if status != "queued":
            return
    raise AssertionError(f"Run {run.pk} was advanced {ADVANCES} times and is queued again.")


def _orphan(run: Run) -> None:
    """As it is when its worker's session has ended."""
    with connections[settings().database].cursor() as cursor:
        cursor.execute(
            "UPDATE lockstep_workflows_run SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s",
            [run.pk],
        )


def _fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)
