"""The way of one call through the ledger, for sync and async alike: what it yields, its caller does or awaits."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from langgraph.errors import GraphBubbleUp

from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import EngineError, Fenced, ToolFailed, ToolMisused, Unstorable
from lockstep.workflows.questions import Review, request_review, sleep_until
from lockstep.workflows.tools import ledger
from lockstep.workflows.tools.failures import Failure, Kind, dotted
from lockstep.workflows.tools.ledger import Call, Found

if TYPE_CHECKING:
    from lockstep.workflows.tools.declaration import Tool

__all__ = ["SHORT_S", "Do", "Fall", "Outcome", "Pause", "Reconcile", "Step", "Write", "flow"]

SHORT_S = 2.0
"""Delays up to this are waited for in place; a longer one frees the worker."""
MOST_TEXT = 10_000
ENDS = ("done", "not_done", "failed")
_NONE: Any = object()
"""There is no result yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconcile hook found out about a call that may or may not have been carried out."""

    done: bool
    """False: it was not, and may be repeated."""
    result: Any = None


@dataclass(frozen=True, slots=True)
class Write:
    """Run statements of the ledger."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Do:
    """The effect itself."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait in place; less when the run is to stop."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the tool's hook."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Call what stands in for the tool."""


Step = Write | Do | Pause | Reconcile | Fall
Steps = Generator[Step, Any, Any]


def flow(tool: Tool[Any], call: Call, arguments: Mapping[str, Any]) -> Steps:
    """What is to be done until the call has a result, or its node stops or fails."""
    return _Flow(tool, call, arguments).steps()


class _Flow:
    def __init__(self, tool: Tool[Any], call: Call, arguments: Mapping[str, Any]) -> None:
        self.tool = tool
        self.call = call
        self.arguments = arguments
        self.codec = call.place.tracer.codec
        self.replayed = 0
        self.answer: Review | None = None
        self.error: BaseException | None = None
        """Of the latest attempt."""

    def steps(self) -> Steps:
        again = ""
        while True:
            begin = partial(ledger.begin, self.call, replayed=self.replayed, again=again)
            found: Found = yield Write(begin)
            again = ""
            for stop in found.stops[self.replayed :]:
                self._go_past(stop)
            if found.state == "done":
                return self.codec.decode(found.result)
            if found.state == "failed":
                return (yield from self._failed(found))
            if found.state == "go":
                result = yield from self._attempt(found)
                if result is not _NONE:
                    return result
            elif found.state == "wait":
                yield from self._wait(found)
            elif found.state == "cancel":
                sleep_until(timedelta(0))  # the run ends here
            elif found.state == "exhausted":
                died = Failure(Kind.UNKNOWN, "WorkerDied")
                yield from self._give_up(died, "Its worker died, and no attempt is left.", None)
            elif found.state == "unknown":
                again = yield from self._find_out()
            elif found.state == "asked":
                again = yield from self._obey()

    # stops

    def _go_past(self, stop: Mapping[str, Any]) -> None:
        """The node stops here until the stop is over. Those that are over are gone past in the order they came in:
        LangGraph counts the stops of a node."""
        self.replayed += 1
        if stop["kind"] == "timer":
            sleep_until(datetime.fromisoformat(stop["due"]) if stop["due"] else timezone.now())
            return
        self.answer = request_review(
            f"settle {self.call.tool}"[:200],
            {
                "tool": self.call.tool, "arguments": json.loads(self.call.args), "key": self.call.key,
                "outcome": stop["outcome"], "result": None,
            },
            schema=_schema(self.call),
            assignee=self.tool.assignee,
            note=stop["note"],
        )  # fmt: skip
        if self.answer.approved and self.answer.args.get("key") != self.call.key:
            raise ToolMisused(
                f"An answer about another call came to tool {self.call.tool!r}: calls of one node that may stop are"
                " made one after the other, not in threads.",
                tool=self.call.tool,
            )

    def _wait(self, found: Found) -> Steps:
        if found.wait_s <= SHORT_S:
            yield Pause(found.wait_s)
            if not self.call.place.stopping:
                return
            if self.call.place.fence.lost:
                raise Fenced
        yield self._decide("parked", stop={"kind": "timer"})

    # attempts

    def _attempt(self, found: Found) -> Steps:
        """The result, or ``_NONE``."""
        try:
            result = yield Do(found.attempt)
        except (Fenced, EngineError, GeneratorExit):
            raise
        except GraphBubbleUp as stopped:
            self.error = stopped
            failure = Failure(Kind.PERMANENT, dotted(ToolMisused))
            yield from self._give_up(
                failure, "A tool cannot stop for a person, an event or a time: ask in the node, before it calls the"
                " tool.", found.attempt,
            )  # fmt: skip
        except Exception as error:
            yield from self._fail(error, found)
        except BaseException as error:  # this task is cancelled, or the process told to end
            with suppress(Fenced, EngineError):
                yield self._cancelled(error, found)
            raise
        else:
            return (yield from self._finish(result, found.attempt))
        return _NONE

    def _finish(self, result: Any, attempt: str) -> Steps:
        try:
            text = self.codec.dumps(result, name=f"{self.call.tool}()")
        except Unstorable as error:
            self.error = error
            yield from self._give_up(
                Failure(Kind.PERMANENT, dotted(Unstorable)), f"It was done, but its result cannot be kept. {error}",
                attempt,
            )  # fmt: skip
            return _NONE
        if len(text) > settings().max_state_bytes:
            yield from self._give_up(
                Failure(Kind.PERMANENT, "ResultTooLarge"),
                f"It was done, but its result has {len(text):,} bytes and cannot be kept.", attempt,
            )  # fmt: skip
            return _NONE
        yield Write(lambda: ledger.settle(self.call, "done", attempt=attempt, outcome="done", result=text))
        return self.codec.loads(text)  # what the node will get when it runs again

    def _fail(self, error: Exception, found: Found) -> Steps:
        self.error = error
        failure = self.tool.failure_of(error)
        told = _told(str(error))
        if failure.kind is Kind.UNKNOWN:
            yield self._settle(found.attempt, "unknown", "unknown", failure, told)
        elif failure.kind is Kind.TRANSIENT and found.attempts < self.call.most:
            delay = max(self.tool.backoff.delay_s(found.attempts), failure.retry_after_s or 0.0)
            stop = {"kind": "timer"} if delay > SHORT_S else None
            yield self._settle(found.attempt, "parked", "failed", failure, told, delay_s=delay, stop=stop)
        else:
            yield from self._give_up(failure, str(error), found.attempt)

    def _cancelled(self, error: BaseException, found: Found) -> Write:
        failure = Failure(Kind.CANCELLED, dotted(type(error)))
        status = "unknown" if self.call.effect == "at_most_once" else "parked"
        return self._settle(found.attempt, status, "cancelled", failure, None, delay_s=0.0)

    def _give_up(self, failure: Failure, text: str, attempt: str | None) -> Steps:
        """No attempt will follow by itself: the call fails, or a person is asked."""
        told = _told(text)
        if self.tool.on_failure == "review":
            stop = {"kind": "review", "outcome": "failed", "note": f"It failed for good: {failure.error}."}
            yield self._settle(attempt, "asked", "failed", failure, told, stop=stop)
        else:
            yield self._settle(attempt, "failed", "failed", failure, told)

    def _failed(self, found: Found) -> Steps:
        if callable(self.tool.on_failure):
            return (yield Fall())
        times = "1 attempt" if found.attempts == 1 else f"{found.attempts} attempts"
        raise ToolFailed(
            f"Tool {self.call.tool!r} failed after {times}: {found.error_kind} ({found.kind}).",
            tool=self.call.tool, kind=found.kind, error=found.error_kind, attempts=found.attempts,
            text=(found.error or {}).get("text", ""),
        ) from self.error  # fmt: skip

    # outcomes that nobody knows

    def _find_out(self) -> Steps:
        if self.tool.reconcile is not None:
            outcome: Outcome | None = yield Reconcile()
            if outcome is not None and not outcome.done:
                return "hook"
            if outcome is not None:
                result = self.codec.dumps(outcome.result, name=f"{self.call.tool}()")
                yield self._decide("done", result=result, by="reconcile")
                return ""
        note = "Nobody knows whether it was done: its worker died, or the connection was lost."
        yield self._decide("asked", stop={"kind": "review", "outcome": "unknown", "note": note})
        return ""

    def _obey(self) -> Steps:
        """Do what the person said who was asked."""
        review, self.answer = self.answer, None
        assert review is not None
        said = review.args.get("outcome") if review.approved else "failed"
        if said == "not_done":
            return "person"
        if said == "done":
            result = self.codec.dumps(review.args.get("result"), name=f"{self.call.tool}()")
            yield self._decide("done", result=result, by=review.by)
        elif said == "failed":
            failure = Failure(Kind.PERMANENT, "expired" if review.decision == "expired" else "rejected")
            yield self._decide("failed", failure=failure, error=_told(review.comment), by=review.by)
        else:
            note = f"Say what became of it: {', '.join(ENDS)}."
            yield self._decide("asked", stop={"kind": "review", "outcome": "unknown", "note": note})
        return ""

    def _decide(self, status: str, **told: Any) -> Write:
        return Write(lambda: ledger.settle(self.call, status, replayed=self.replayed, **told))

    def _settle(
        self, attempt: str | None, status: str, outcome: str, failure: Failure, error: str | None, **told: Any
    ) -> Write:
        return Write(
            lambda: ledger.settle(
                self.call, status, attempt=attempt, outcome=outcome, failure=failure, error=error,
                replayed=self.replayed, **told,
            )
        )  # fmt: skip


def _schema(call: Call) -> dict[str, Any]:
    """Of an answer: only what became of it can be said."""
    return {
        "type": "object",
        "properties": {
            "tool": {"const": call.tool},
            "arguments": {},
            "key": {"const": call.key},
            "outcome": {"enum": list(ENDS)},
            "result": {},
        },
        "required": ["key", "outcome"],
        "additionalProperties": False,
    }


def _told(text: str) -> str:
    plain = (
        text[:MOST_TEXT].replace("\0", "").encode(errors="replace").decode()
    )  # jsonb takes no half characters
    return json.dumps({"text": plain})
