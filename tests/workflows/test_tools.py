"""Tools in runs, in one process: what is kept, what is repeated, where failures go, and what a node stops for."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypedDict

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone
from langgraph.graph import START, StateGraph

from lockstep.core import context
from lockstep.workflows import (
    Backoff,
    Outcome,
    cancel,
    connection,
    request_review,
    retry,
    start,
    tool,
    workflow,
)
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import EffectsForbidden, ToolFailed, ToolMisused, Unstorable
from lockstep.workflows.models import Checkpoint, Run, ToolAttempt, ToolCall, Wait
from lockstep.workflows.ownership import here
from lockstep.workflows.sweeping import due
from lockstep.workflows.tools import flow, ledger, threads
from lockstep.workflows.tracing import Tracer, traced
from tests.flows.tools import QUICK, apart, gone, unpicklable
from tests.search.workers import until
from tests.workflows.effects import Effects, effects, request
from tests.workflows.people import answered
from tests.workflows.test_tools_crash import lives

__all__ = ["effects"]
pytestmark = pytest.mark.django_db
_numbers = itertools.count()


class State(TypedDict, total=False):
    amount: int
    answer: Any


def made(*bodies: Callable[[State], Any], graph: Callable[[], StateGraph] | None = None, **given: Any) -> Run:
    """A run of a graph whose nodes are these, one after the other; it stands where it stopped first."""
    name = f"tools-{next(_numbers)}"

    def build() -> StateGraph:
        built = StateGraph(State)
        before = START
        for at, body in enumerate(bodies):
            built.add_node(f"n{at}", body)
            built.add_edge(before, f"n{at}")
            before = f"n{at}"
        return built

    workflow(name)(graph or build)
    run = start(name, given)
    return on(run)


def on(run: Run) -> Run:
    advance(str(run.pk))
    run.refresh_from_db()
    return run


def woken(run: Run) -> Run:
    """The timer has come."""
    moment = timezone.now() - timedelta(seconds=1)
    ToolCall.objects.filter(run=run, status="parked").update(next_at=moment)
    Wait.objects.filter(run=run, status="open", kind="timer").update(due_at=moment)
    Run.objects.filter(pk=run.pk).update(wake_at=moment)
    due()
    assert Run.objects.get(pk=run.pk).status == "queued"
    return on(run)


def attempts(run: Run) -> list[tuple[str, str]]:
    return [*ToolAttempt.objects.filter(run=run).values_list("outcome", "kind")]


class Refused(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("account 4711")
        self.status_code = status
        self.headers = headers


class Flaky:
    """Fails with each of these in turn, and then no more."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls: list[Any] = []

    def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        if self.errors:
            raise self.errors.pop(0)
        return {"call": len(self.calls)}


def test_a_node_that_runs_again_gets_the_result_of_before() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def pay(order: int, amount: int = 5, *, idempotency_key: str) -> Any:
        return work(order, amount, idempotency_key)

    def body(state: State) -> State:
        first = pay(7)
        decided = request_review("go on", {})
        return {"answer": [first, pay(7), pay(8), decided.decision]}

    run = made(body)
    assert (run.status, len(work.calls)) == ("waiting", 1)
    answered(Wait.objects.get(run=run), "approve")
    on(run)
    assert run.result == {"answer": [{"call": 1}, {"call": 2}, {"call": 3}, "approve"]}
    assert [call[:2] for call in work.calls] == [(7, 5), (7, 5), (8, 5)]
    calls = ToolCall.objects.filter(run=run)
    assert {call[2] for call in work.calls} == {call.external_key for call in calls}
    assert len({call.key for call in calls}) == 3
    assert {(call.tool, call.effect, call.status, call.node) for call in calls} == {
        ("pay", "keyed", "done", "n0")
    }
    assert calls[0].arguments == {"order": 7, "amount": 5}
    assert calls[0].value == {"call": 1}
    assert attempts(run) == [("done", "")] * 3
    assert all(row.elapsed_ms is not None for row in ToolAttempt.objects.filter(run=run))


def test_content_of_calls_expires_with_its_run_and_belongs_to_its_person() -> None:
    @tool
    def note(text: str) -> str:
        return text

    user = get_user_model().objects.create(username="mo")
    with context.use(user=user):
        run = made(lambda state: {"answer": note("private")})
    call = ToolCall.objects.get(run=run)
    assert (call.expires_at, call.subject) == (run.expires_at, run.user_key)
    assert call.subject


def test_transient_failures_are_tried_again_in_place() -> None:
    work = Flaky(ConnectionRefusedError(), TimeoutError(), Refused(503))

    @tool(effect="keyed", backoff=QUICK)
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    assert run.result == {"answer": {"call": 4}}
    assert attempts(run) == [("failed", "transient")] * 3 + [("done", "")]
    assert ToolCall.objects.get(run=run).attempts == 4


def test_exhausted_attempts_fail_the_run_by_name() -> None:
    work = Flaky(*[Refused(503)] * 9)

    @tool(effect="keyed", backoff=QUICK, max_attempts=3)
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    assert (run.status, run.reason, run.node, len(work.calls)) == ("failed", "ToolFailed", "n0", 3)
    assert "Tool 'pay' failed after 3 attempts" in run.error["text"]
    assert "4711" not in run.error["text"]
    assert ToolCall.objects.get(run=run).error == {"text": "account 4711"}


@pytest.mark.parametrize("error", [Refused(404), Refused(401), ValueError("bad"), TypeError()])
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    work = Flaky(error)

    @tool(effect="pure", backoff=QUICK)
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    assert (run.status, len(work.calls)) == ("failed", 1)
    assert attempts(run) == [("failed", "permanent")]


def test_a_failure_for_good_is_the_same_when_the_node_runs_again() -> None:
    work = Flaky(ValueError("no such order"))
    seen: list[Any] = []

    @tool(effect="keyed")
    def pay() -> Any:
        return work()

    def body(state: State) -> State:
        try:
            pay()
        except ToolFailed as error:
            seen.append((str(error), error.tool, error.kind, error.error, error.attempts, error.text))
        request_review("go on", {})
        return {"answer": "paid otherwise"}

    run = made(body)
    answered(Wait.objects.get(run=run), "approve")
    on(run)
    assert run.status == "succeeded"
    assert seen[0] == seen[1]
    assert seen[0][1:] == ("pay", "permanent", "ValueError", 1, "no such order")
    assert len(work.calls) == 1


def test_a_run_that_is_tried_again_tries_the_call_that_failed_it() -> None:
    work, other = Flaky(Refused(503), Refused(503), Refused(404), Refused(503)), Flaky(ValueError())
    keys: list[str] = []

    @tool(effect="keyed")
    def look() -> Any:
        return other()

    @tool(effect="keyed", backoff=QUICK, max_attempts=2)
    def pay(*, idempotency_key: str) -> Any:
        keys.append(idempotency_key)
        return work()

    def body(state: State) -> State:
        with suppress(ToolFailed):  # the node went on without it, and does so again
            look()
        return {"answer": pay()}

    run = made(body)
    assert (run.status, len(work.calls)) == ("failed", 2)
    retry(run)
    assert (on(run).status, len(work.calls)) == ("failed", 3)
    retry(run)
    assert on(run).result == {"answer": {"call": 5}}
    assert len(set(keys)) == 1
    assert len(other.calls) == 1


def test_a_run_that_is_tried_again_repeats_nothing_that_may_have_been_done() -> None:
    work = Flaky(KeyError("reference"))

    @tool(effect="at_most_once")
    def wire() -> Any:
        return work()

    run = made(lambda state: {"answer": wire()})
    assert run.status == "failed"
    retry(run)
    assert on(run).status == "waiting"
    answered(Wait.objects.get(run=run), outcome="not_done")
    assert on(run).result == {"answer": {"call": 2}}


@pytest.mark.parametrize("text", ["nul \0", "half \ud800", "x" * 20_000], ids=["nul", "surrogate", "long"])
def test_whatever_an_error_says_can_be_kept(text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(
        logging.CRITICAL, "lockstep.workflows"
    )  # half a character breaks the reports of pytest-xdist

    @tool
    def pay() -> Any:
        raise ValueError(text)

    run = made(lambda state: {"answer": pay()})
    assert run.reason == "ToolFailed"
    assert run.tools.get().error["text"][:3] == text[:3]


def test_langgraphs_error_handler_gets_the_failure() -> None:
    @tool
    def pay() -> Any:
        raise ValueError("no such order")

    def handle(state: State) -> State:
        return {"answer": "handled"}

    def graph() -> StateGraph:
        built = StateGraph(State)
        built.add_node("pay", lambda state: {"answer": pay()}, error_handler=handle)
        built.add_edge(START, "pay")
        return built

    run = made(graph=graph)
    assert run.result == {"answer": "handled"}


def test_another_tool_stands_in_with_the_same_arguments() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def by_post(order: int) -> Any:
        return work(order)

    @tool(effect="keyed", on_failure=by_post)
    def pay(order: int) -> Any:
        raise ValueError

    def body(state: State) -> State:
        found = pay(7)
        request_review("go on", {})
        return {"answer": found}

    run = made(body)
    answered(Wait.objects.get(run=run), "approve")
    assert on(run).result == {"answer": {"call": 1}}
    assert work.calls == [(7,)]
    assert {(call.tool, call.status) for call in run.tools.all()} == {("pay", "failed"), ("by_post", "done")}


@pytest.mark.parametrize(
    ("decision", "said", "result", "calls"),
    [
        ("edit", {"outcome": "done", "result": 3}, 3, 1), ("edit", {"outcome": "not_done"}, {"call": 2}, 2),
        ("edit", {"outcome": "failed"}, None, 1), ("reject", {}, None, 1), ("approve", {}, None, 1),
    ],
)  # fmt: skip
def test_a_person_decides_about_a_failure_for_good(
    decision: str, said: dict[str, Any], result: Any, calls: int
) -> None:
    work = Flaky(ValueError())

    @tool(effect="keyed", on_failure="review", max_attempts=1, assignee="finance")
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    assert run.status == "waiting"
    wait = Wait.objects.get(run=run)
    assert (wait.kind, wait.assignee, wait.payload["args"]["outcome"]) == ("review", "finance", "failed")
    assert "ValueError" in wait.payload["note"]
    answered(wait, decision, **said)
    on(run)
    assert run.status == ("failed" if result is None else "succeeded")
    assert result is None or run.result == {"answer": result}
    assert len(work.calls) == calls


def test_an_unknown_outcome_goes_to_a_person_until_they_say_what_became_of_it() -> None:
    work = Flaky(ConnectionResetError())

    @tool(effect="at_most_once", backoff=QUICK)
    def wire() -> Any:
        return work()

    run = made(lambda state: {"answer": wire()})
    assert attempts(run) == [("unknown", "unknown")]
    answered(Wait.objects.get(run=run), "approve")  # which says nothing about it
    assert on(run).status == "waiting"
    wait = Wait.objects.get(run=run, status="open")
    assert "done, not_done, failed" in wait.payload["note"]
    answered(wait, outcome="done", result={"seen": "on the statement"})
    assert on(run).result == {"answer": {"seen": "on the statement"}}
    assert len(work.calls) == 1


@pytest.mark.parametrize("error", [ConnectionRefusedError(), Refused(429), Refused(425), Refused(408)])
def test_what_was_certainly_not_done_is_tried_again_even_once(error: Exception) -> None:
    work = Flaky(error)

    @tool(effect="at_most_once", backoff=QUICK)
    def wire() -> Any:
        return work()

    assert made(lambda state: {"answer": wire()}).result == {"answer": {"call": 2}}


@pytest.mark.parametrize(
    ("outcome", "result", "calls"),
    [
        (Outcome(done=True, result=5), 5, 1),
        (Outcome(done=False), {"call": 2}, 2),
        (None, None, 1),
        ("yes", None, 1),
    ],
)
def test_a_hook_finds_out_what_became_of_it(
    outcome: Any, result: Any, calls: int, caplog: pytest.LogCaptureFixture
) -> None:
    work, asked = Flaky(TimeoutError()), []

    def look(key: str, arguments: dict[str, Any]) -> Any:
        asked.append((key, arguments))
        return outcome

    @tool(effect="at_most_once", reconcile=look)
    def wire(order: int) -> Any:
        return work()

    run = made(lambda state: {"answer": wire(7)})
    assert asked == [(run.tools.get().external_key, {"order": 7})]
    assert run.status == ("waiting" if result is None else "succeeded")
    assert result is None or run.result == {"answer": result}
    assert len(work.calls) == calls


def test_a_tools_own_opinion_of_an_error_counts() -> None:
    work = Flaky(ValueError("busy"), KeyError())

    @tool(effect="keyed", backoff=QUICK, classify=lambda error: "transient" if "busy" in str(error) else None)
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    assert attempts(run) == [("failed", "transient"), ("failed", "permanent")]


# owners


def taken_over(run: str) -> None:
    """Another worker has the run now; the one before has only been away for long."""
    for _ in range(100):  # the heartbeat of this process may come between
        Run.objects.filter(pk=run).update(lease_until=timezone.now() - timedelta(minutes=1))
        if here().acquire(run) is not None:
            return
    raise AssertionError("The run could not be taken over.")


@pytest.mark.parametrize("effect", ["keyed", "at_most_once"])
def test_a_result_that_comes_after_the_run_was_lost_is_a_fact(effect: Any) -> None:
    work = Flaky()

    @tool(effect=effect)
    def pay() -> Any:
        found = work()
        taken_over(context.current().run)
        return found

    run = made(lambda state: {"answer": pay()})
    assert (run.status, run.epoch) == ("running", 2)
    assert [row.status for row in run.tools.all()] == ["done"]
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
    assert on(run).result == {"answer": {"call": 1}}
    assert len(work.calls) == 1


def test_whoever_lost_the_run_begins_no_effect() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def pay() -> Any:
        return work()

    def body(state: State) -> State:
        taken_over(context.current().run)
        return {"answer": pay()}

    run = made(body)
    assert (run.status, run.epoch) == ("running", 2)
    assert work.calls == []
    assert not run.tools.exists()


def test_whoever_lost_the_run_begins_no_attempt_after_a_failed_one() -> None:
    def fail() -> Any:
        taken_over(context.current().run)
        raise TimeoutError

    work = Flaky()

    @tool(effect="keyed", backoff=QUICK)
    def pay() -> Any:
        work()
        fail()

    run = made(lambda state: {"answer": pay()})
    assert (run.status, run.epoch, len(work.calls)) == ("running", 2, 1)
    assert attempts(run) == [("failed", "transient")]


def test_a_statement_whose_reply_was_lost_is_the_same_when_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Flaky(TimeoutError(), Refused(429, **{"Retry-After": "60"}))

    @tool(effect="keyed", backoff=QUICK)
    def pay() -> Any:
        return work()

    class Twice:
        def query(self, statement: str, params: Any) -> Any:
            connection.apart.query(statement, params)
            return connection.apart.query(statement, params)

    monkeypatch.setattr(ledger, "apart", Twice())
    run = made(lambda state: {"answer": pay()})
    assert len(ToolCall.objects.get(run=run).stops) == 1
    assert woken(run).result == {"answer": {"call": 3}}
    assert attempts(run) == [("failed", "transient")] * 2 + [("done", "")]


# delays


def test_the_limit_of_a_delay_grows_and_delays_spread_below_it() -> None:
    backoff = Backoff(base_s=0.5, factor=2, most_s=10)
    assert [backoff.limit_s(attempt) for attempt in (1, 2, 3, 6, 5000)] == [0.5, 1, 2, 10, 10]
    delays = [backoff.delay_s(3) for _ in range(500)]
    assert 0 <= min(delays) < 0.2 < 1.8 < max(delays) <= 2
    for wrong in ({"base_s": -1}, {"factor": 0.5}, {"most_s": -1}, {"base_s": float("nan")}):
        with pytest.raises(ValueError, match="Backoff"):
            Backoff(**wrong)


def test_a_long_delay_frees_the_worker(effects: Effects) -> None:
    @tool(effect="keyed", backoff=QUICK)
    def pay(*, idempotency_key: str = "") -> Any:
        return request("pay", idempotency_key, status=429, times=2, retry_after=30)

    def body(state: State) -> State:
        found = pay()
        decided = request_review("go on", {"amount": 1})
        return {"answer": [found, decided.decision]}

    before = timezone.now()
    run = made(body)
    assert (run.status, run.owner) == ("waiting", "")
    wait = Wait.objects.get(run=run)
    assert wait.kind == "timer"
    assert timedelta(seconds=28) < run.wake_at - before < timedelta(seconds=32)
    assert run.wake_at == wait.due_at == ToolCall.objects.get(run=run).next_at
    assert due() == []
    woken(run)
    assert (run.status, effects.requests("pay")) == ("waiting", 2)
    woken(run)
    assert (run.status, effects.requests("pay"), effects.done("pay")) == ("waiting", 3, 1)
    # the review does not get the answers of the two timers before it
    answered(Wait.objects.get(run=run, status="open", kind="review"), "approve")
    on(run)
    assert run.result == {"answer": [{"n": 3}, "approve"]}
    assert effects.requests("pay") == 3
    assert ToolCall.objects.get(run=run).attempts == 3


def test_attempts_count_over_all_that_a_run_was_parked() -> None:
    work = Flaky(*[Refused(429, **{"Retry-After": "60"})] * 9)

    @tool(effect="keyed", max_attempts=3)
    def pay() -> Any:
        return work()

    run = made(lambda state: {"answer": pay()})
    for calls in (1, 2):
        assert (run.status, len(work.calls)) == ("waiting", calls)
        woken(run)
    assert (run.status, run.reason, len(work.calls)) == ("failed", "ToolFailed", 3)


def test_retry_after_is_obeyed_in_place(effects: Effects) -> None:
    @tool(effect="keyed", backoff=QUICK)
    def pay(*, idempotency_key: str = "") -> Any:
        return request("pay", idempotency_key, status=429, times=1, retry_after=1)

    assert made(lambda state: {"answer": pay()}).status == "succeeded"
    first, second = effects.times("pay")
    assert 1 <= second - first < 5


def test_a_call_that_waits_stops_for_a_worker_that_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Flaky(Refused(429, **{"Retry-After": "1.9"}))

    @tool(effect="keyed")
    def pay() -> Any:
        return work()

    def body(state: State) -> State:
        from lockstep.workflows import tracing

        fence = tracing.current().fence
        threading.Timer(0.2, lambda: fence.stop("shutdown")).start()
        return {"answer": pay()}

    run = made(body)
    assert run.status == "waiting"  # and not: waited, asked again and done
    assert Wait.objects.get(run=run).kind == "timer"
    assert woken(run).result == {"answer": {"call": 2}}


def test_a_cancelled_run_begins_no_effect() -> None:
    work = Flaky()

    @tool
    def pay() -> Any:
        return work()

    def body(state: State) -> State:
        cancel(context.current().run)
        return {"answer": pay()}

    run = made(body)
    assert (run.status, work.calls) == ("cancelled", [])
    assert not run.tools.exists()


# time


def test_a_sync_tool_that_outlives_its_time_is_counted_and_heard_late() -> None:
    release = threading.Event()

    @tool(effect="at_most_once", timeout_s=0.2)
    def wire() -> Any:
        release.wait(20)
        return {"late": True}

    before = threads.abandoned()
    run = made(lambda state: {"answer": wire()})
    try:
        assert run.status == "waiting"
        assert threads.abandoned() == before + 1
        assert not threads.wants_to_retire()
        assert attempts(run) == [("unknown", "unknown")]
    finally:
        release.set()
    until(lambda: threads.abandoned() == before)
    assert attempts(run) == [("done", "")]
    answered(Wait.objects.get(run=run), outcome="not_done")  # the person was wrong
    assert on(run).result == {"answer": {"late": True}}
    assert ToolAttempt.objects.filter(run=run).count() == 1


def test_a_process_with_many_threads_left_behind_wants_to_retire() -> None:
    release = threading.Event()

    @tool(effect="pure", timeout_s=0.05, max_attempts=threads.MOST, backoff=QUICK)
    def slow() -> Any:
        release.wait(20)

    try:
        with pytest.raises(TimeoutError):
            slow()
        assert threads.wants_to_retire()
        run = start("linear", {})
        with pytest.raises(CommandError, match="outlived") as ended:
            call_command("lockstep_work", "--once")
        assert ended.value.returncode == 75
        run.refresh_from_db()
        assert run.status == "queued"
    finally:
        release.set()
    until(lambda: not threads.wants_to_retire())
    call_command("lockstep_work", "--once")
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_a_thread_of_a_tool_has_the_context_and_sees_the_callers_data() -> None:
    @tool(effect="pure")
    def who() -> Any:
        return [context.current().node, get_user_model().objects.count(), threading.current_thread().name]

    get_user_model().objects.create(username="mo")
    assert made(lambda state: {"answer": who()}).result == {"answer": ["n0", 1, "lockstep-tool"]}


def test_an_async_tool_is_cancelled_when_its_time_is_over() -> None:
    ended: list[str] = []

    @tool(effect="keyed", timeout_s=0.1, max_attempts=2, backoff=QUICK)
    async def pay(order: int, *, idempotency_key: str) -> Any:
        try:
            if not ended:
                await asyncio.sleep(20)
        finally:
            ended.append(idempotency_key)
        return {"order": order}

    async def body(state: State) -> State:
        return {"answer": await pay(7)}

    run = made(body)
    assert run.result == {"answer": {"order": 7}}
    assert len(ended) == 2
    assert len(set(ended)) == 1
    assert attempts(run) == [("failed", "transient"), ("done", "")]


def test_an_async_tool_in_a_node_that_is_cancelled_leaves_its_outcome_open() -> None:
    @tool(effect="at_most_once")
    async def wire() -> Any:
        await asyncio.sleep(20)

    async def body(state: State) -> State:
        async with asyncio.timeout(0.3):
            await wire()
        return {}

    run = made(body)
    assert run.status == "failed"
    assert run.tools.get().status == "unknown"
    assert attempts(run) == [("cancelled", "cancelled")]


@pytest.mark.slow
def test_a_process_of_its_own_is_killed_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FLOWS_FILE", str(tmp_path / "pid"))
    monkeypatch.setattr(apart, "timeout_s", 60)
    run = made(lambda state: {"answer": apart("go")})
    first = run.result["answer"]
    assert first["op"] == "go"
    monkeypatch.setattr(apart, "timeout_s", 15)
    run = made(lambda state: {"answer": apart("slow", seconds=100)})
    assert run.status == "failed"
    assert "TimeoutError" in run.error["text"]
    assert threads.abandoned() == 0
    pids = [int(line.split()[0]) for line in (tmp_path / "pid").read_text().splitlines()]
    assert pids[0] == first["pid"]
    assert not any(lives(pid) for pid in pids)
    for broken, error in ((gone, "ToolDied"), (unpicklable, "ToolMisused")):
        monkeypatch.setattr(broken, "timeout_s", 60)
        assert error in made(lambda state, broken=broken: {"answer": broken("go")}).error["text"]


# where it may be called


def test_outside_a_run_there_is_no_ledger_but_time_and_attempts_hold() -> None:
    work = Flaky(TimeoutError())

    @tool(effect="keyed", backoff=QUICK)
    def pay(order: int, *, idempotency_key: str) -> Any:
        assert idempotency_key == "mine"
        return work(order)

    assert pay(7, idempotency_key="mine") == {"call": 2}
    assert not ToolCall.objects.exists()
    with pytest.raises(ToolMisused, match="order"):
        pay()


def test_a_key_of_ones_own_is_handed_on() -> None:
    @tool(effect="keyed")
    def pay(*, idempotency_key: str) -> Any:
        return idempotency_key

    run = made(lambda state: {"answer": pay(idempotency_key="order 7")})
    assert run.result == {"answer": "order 7"}
    assert run.tools.get().external_key == "order 7"


def test_effects_that_are_not_in_the_log_are_forbidden_in_a_replay() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def pay(order: int) -> Any:
        return work(order)

    @tool(effect="pure")
    def look() -> Any:
        return "seen"

    def body(state: State) -> State:
        from lockstep.workflows import tracing

        tracer = tracing.current()
        first = pay(7)
        tracer.effects = bool(state.get("amount"))
        if tracer.effects:
            request_review("go on", {})
        return {"answer": [first, look(), pay(8)]}

    run = made(body)
    assert run.reason == "EffectsForbidden"
    assert [call[0] for call in work.calls] == [7]
    with traced(Tracer("replay", None, effects=False)):
        assert look() == "seen"
        with pytest.raises(EffectsForbidden):
            pay(7)


def test_a_tool_between_nodes_is_refused() -> None:
    @tool
    def pay() -> Any:
        return "n1"

    def graph() -> StateGraph:
        built = StateGraph(State)
        built.add_node("n0", lambda state: {})
        built.add_edge(START, "n0")
        built.add_conditional_edges("n0", lambda state: pay())
        return built

    assert made(graph=graph).reason == "ToolMisused"


def test_a_tool_cannot_wait() -> None:
    @tool(effect="keyed")
    def pay() -> Any:
        return request_review("pay", {}).decision

    run = made(lambda state: {"answer": pay()})
    assert (run.status, run.reason) == ("failed", "ToolFailed")
    assert "ask in the node" in run.tools.get().error["text"]


def test_what_cannot_be_kept_is_refused_before_and_recorded_after_the_effect() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def pay(order: Any) -> Any:
        work(order)
        return threading.Lock()

    assert made(lambda state: {"answer": pay(threading.Lock())}).reason == Unstorable.__name__
    assert work.calls == []
    run = made(lambda state: {"answer": pay(7)})
    assert run.reason == "ToolFailed"
    assert "It was done" in run.tools.get().error["text"]
    assert len(work.calls) == 1


def test_a_graph_within_a_node_has_effects_of_its_own() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def pay() -> Any:
        return work()

    inner = StateGraph(State)
    inner.add_node("inner", lambda state: {"answer": [pay(), pay()]})
    inner.add_edge(START, "inner")
    kept = inner.compile()

    def body(state: State) -> State:
        found = [kept.invoke({})["answer"], pay()]
        request_review("go on", {})
        return {"answer": found}

    run = made(body)
    answered(Wait.objects.get(run=run), "approve")
    assert on(run).result == {"answer": [[{"call": 1}, {"call": 2}], {"call": 3}]}
    assert len(work.calls) == 3


def test_a_call_whose_place_is_not_stored_has_no_effect() -> None:
    """Its task has another name after a crash: nobody could tell that it is the same call."""
    work = Flaky()

    @tool(effect="keyed")
    def pay() -> Any:
        return work()

    def body(state: State) -> State:
        Checkpoint.objects.filter(run=context.current().run).delete()
        return {"answer": pay()}

    run = made(body)
    assert run.reason == "ToolMisused"
    assert work.calls == []


def test_a_tool_called_by_a_tool_has_a_place_of_its_own() -> None:
    work = Flaky()

    @tool(effect="keyed")
    def log(text: str) -> Any:
        return work(text)

    @tool(effect="keyed")
    def pay() -> Any:
        return log("paid")

    def body(state: State) -> State:
        found = [pay(), log("paid")]
        request_review("go on", {})
        return {"answer": [*found, pay(), log("paid")]}

    run = made(body)
    answered(Wait.objects.get(run=run), "approve")
    assert on(run).result == {"answer": [{"call": 1}, {"call": 2}, {"call": 3}, {"call": 4}]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"effect": "twice"}, {"timeout_s": 0}, {"max_attempts": 0}, {"max_attempts": True}, {"on_failure": "ignore"},
        {"isolation": "vm"}, {"name": ""}, {"isolation": "process"},
    ],
)  # fmt: skip
def test_options_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        tool(**wrong)(lambda: None)


# agents


def agents_call(name: str, **arguments: Any) -> Any:
    from langchain_core.messages import AIMessage

    calls = [{"name": name, "args": arguments, "id": f"call-{at}"} for at in range(2)]
    return AIMessage("", tool_calls=calls)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agents_tool_is_called_once_for_each_call_of_the_model(is_async: bool) -> None:
    from langchain_core.messages import AnyMessage
    from langgraph.graph import MessagesState
    from langgraph.prebuilt import ToolNode

    work = Flaky()

    def pay(order: int, *, idempotency_key: str) -> Any:
        """Pay an order back."""
        return {**work(order, idempotency_key), "order": order}

    async def apay(order: int, *, idempotency_key: str) -> Any:
        """Pay an order back."""
        return {**work(order, idempotency_key), "order": order}

    adapted = tool(effect="keyed", name="pay")(apay if is_async else pay).as_langchain()
    assert adapted.name == "pay"
    assert adapted.description == "Pay an order back."
    assert list(adapted.args) == ["order"]

    def again(state: MessagesState) -> dict[str, list[AnyMessage]]:
        request_review("go on", {})
        return {"messages": []}

    def graph() -> StateGraph:
        built = StateGraph(MessagesState)
        built.add_node("tools", ToolNode([adapted]))
        built.add_node("again", again)
        built.add_edge(START, "tools")
        built.add_edge("tools", "again")
        return built

    run = made(graph=graph, messages=[agents_call("pay", order=7)])
    assert run.status == "waiting"
    assert sorted(json.loads(row.result and json.dumps(row.result))["order"] for row in run.tools.all()) == [
        7,
        7,
    ]
    assert len(work.calls) == 2
    assert len({call[1] for call in work.calls}) == 2
    answered(Wait.objects.get(run=run), "approve")
    assert on(run).status == "succeeded"
    assert len(work.calls) == 2


def test_short_is_what_the_docs_say() -> None:
    assert flow.SHORT_S == 2
