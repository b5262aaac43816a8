"""One call: its attempts, each a row that is begun before the request leaves and ended when it came back.

Nothing here waits or sends; the synchronous and the asynchronous shells in ``metering`` do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from lockstep.core import context, ports
from lockstep.core.ids import new_id
from lockstep.core.pseudonyms import pseudonym
from lockstep.llm import ledger
from lockstep.llm.conf import settings
from lockstep.llm.content import answer, conversation
from lockstep.llm.exceptions import (
    BudgetContended,
    BudgetExceeded,
    LedgerError,
    LlmError,
    ProviderBadAnswer,
)
from lockstep.llm.ledger import Asked, Begun, Told
from lockstep.llm.refusals import Route, refusal, refused
from lockstep.llm.retries import failure, pause_s
from lockstep.llm.usage import MARK, Seen, usage_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

__all__ = ["Attempts", "Trip"]

logger = logging.getLogger("lockstep.llm")


@dataclass(slots=True)
class Trip:
    """One attempt under way."""

    asked: Asked
    begun: Begun
    started: float
    seen: Seen
    content: ports.Content | None = None
    said: list[BaseMessage] = field(default_factory=list)
    """What came back, whole or in pieces, where it is kept."""
    whole: list[BaseMessage] = field(default_factory=list)
    """The answers as the caller gets them, where a run takes note of them."""
    first_ms: int | None = None

    def elapsed_ms(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)

    def add(self, message: BaseMessage, said: Mapping[str, Any]) -> None:
        if self.first_ms is None:
            self.first_ms = self.elapsed_ms()
        self.seen.add(message, said)
        self.heard(message)

    def heard(self, message: BaseMessage) -> None:
        """Remember it until the end of the attempt."""
        if self.content is not None:
            self.said.append(message)


class Attempts:
    """The attempts of one call.

    Args:
        route: where it goes.
        bound_input, bound_output: tokens at most.
        prompt: facts of ``Asked`` about the prompt, its version, or what stands in for one.
        tools_done: see ``usage.tools_done``.
    """

    def __init__(
        self,
        route: Route,
        *,
        bound_input: int,
        bound_output: int,
        prompt: Mapping[str, Any] | None = None,
        tools_done: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.route = route
        self.prompt = dict(prompt or {})
        self.cost_micros: int | None = None
        self.id = new_id()
        self.messages: Sequence[BaseMessage] = ()
        """What is asked, once its words are known."""
        self.request = ""
        """Digest of it, where a run takes note of the answer."""
        self.played = ports.replay.get().call()
        self._content: ports.Content | None = None
        self._count = 0
        self._ready: Trip | None = None
        self._plain = Asked(
            id=self.id, invocation=self.id, attempt=1, operation="chat", provider=route.provider, model=route.model,
            priced_as=route.priced_as, endpoint=route.endpoint, bound_input=bound_input, bound_output=bound_output,
            tools_done=tools_done, refused=refusal(route), **subject(route),
        )  # fmt: skip

    def begin(self) -> Trip:
        """The next attempt: one round trip. Where a budget is spent, the feature's fallback model is tried: ``route``
        says who is to be asked.

        Raises:
            CallRefused: it may not go out.
            LedgerError: the ledger cannot be written.
        """
        try:
            return self._begin()
        except BudgetExceeded as refusal:
            if isinstance(refusal, BudgetContended) or not self._fall_back():
                raise
        return self._begin()

    def _fall_back(self) -> bool:
        there = self.route.instead
        if there is None:
            return False
        self._lead(there)
        self.prompt["pinned"] = True
        self._plain = replace(self._plain, refused=refusal(there))
        return True

    def _begin(self) -> Trip:
        if self._ready:
            self._top_up(self._ready)
            trip, self._ready = self._ready, None
            trip.started = time.perf_counter()
            return trip
        self._count += 1
        if self._count > 1:
            self.id = new_id()
        else:
            self._content = ports.contents.get().of_call(self._plain.feature or None, self._plain.user_key)
        asked = replace(self._plain, id=self.id, attempt=self._count, **self.prompt)
        begun = ledger.begin(asked)
        if begun.refused:
            raise refused(begun.refused, begun.held, asked)
        return Trip(asked, begun, time.perf_counter(), Seen(), self._content)

    def open(self) -> Trip | None:
        """Begin the first attempt ahead of its request, to learn which version of the prompt is live; None: a run is
        replayed and nothing will be sent."""
        if self.played is not None and self.played.silent:
            return None
        self._ready = trip = self.begin()
        self.prompt |= {
            "prompt": trip.asked.prompt,
            "prompt_version": trip.begun.prompt_version,
            "arm": trip.begun.arm,
            "release_id": trip.begun.release_id,
        }
        return trip

    def noted(self) -> ports.Said | None:
        """What the run that is replayed was answered; None: the request goes out.

        Raises:
            LockstepError: it must not, and there is no answer.
        """
        if self.played is None:
            return None
        said = self.played.answer(self.request)
        if said is not None:
            self.id = said.messages[0].response_metadata.get(MARK, self.id)
            self.cost_micros = said.cost_micros
        return said

    def reroute(self, route: Route) -> None:
        """Send it elsewhere than was asked for: the release names another model.

        Raises:
            CallRefused: the feature may not go there.
        """
        self._lead(route)
        self._refuse(refusal(route))

    def _lead(self, route: Route) -> None:
        self.route = route
        self._plain = replace(
            self._plain,
            provider=route.provider,
            model=route.model,
            priced_as=route.priced_as,
            endpoint=route.endpoint,
        )

    def widen(self, bound_input: int, bound_output: int) -> None:
        """The request as it will leave may be larger than was reckoned: ``begin`` reserves what is missing."""
        self._plain = replace(
            self._plain,
            bound_input=max(bound_input, self._plain.bound_input),
            bound_output=max(bound_output, self._plain.bound_output),
        )

    def _top_up(self, trip: Trip) -> None:
        most = self._plain
        if most.bound_input > trip.begun.bound_input or most.bound_output > trip.asked.bound_output:
            bound_input = max(most.bound_input, trip.begun.bound_input)
            trip.asked = replace(trip.asked, bound_output=most.bound_output)
            held = ledger.widen(trip.asked, bound_input)
            self._refuse(held.get("refused"), held)

    def _refuse(self, reason: str | None, held: Mapping[str, Any] | None = None) -> None:
        if reason and self._ready:
            trip, self._ready = self._ready, None
            self._end(trip, Told(trip.asked.id, "refused", "none", error_type=reason))
            raise refused(reason, held or {}, trip.asked)

    @property
    def waiting(self) -> bool:
        """Whether an attempt was opened whose request has not left."""
        return self._ready is not None

    def abandon(self, error: BaseException | None = None) -> None:
        """Nothing was sent after all: an error came before, a cache answered, nobody read the stream."""
        if self._ready:
            trip, self._ready = self._ready, None
            self.unsent(trip, error)

    def unsent(self, trip: Trip, error: BaseException | None = None) -> None:
        """Give back what was reserved for an attempt that did not leave."""
        outcome, name = ("error", type(error).__name__) if error else ("cancelled", "NotSent")
        self._end(trip, Told(trip.asked.id, outcome, "none", error_type=name))

    def answered(self, trip: Trip) -> None:
        """The answer is whole."""
        usage = usage_of(trip.seen.usage)
        self._came_back(trip, self._told(trip, "ok", "usage" if usage else "bound"))
        if self.played is not None and trip.whole:
            there = f"{self.route.provider}:{self.route.model}"
            self.played.note(self.request, ports.Said(
                trip.whole, there, self._plain.feature, str(self.prompt.get("prompt") or ""),
                str(self.prompt.get("prompt_version") or ""), self.cost_micros,
            ))  # fmt: skip

    def cancelled(self, trip: Trip) -> None:
        """The caller stopped listening: what came until then is paid for."""
        self._came_back(trip, self._told(trip, "cancelled", "bound", error_type="Closed"))

    def failed(self, trip: Trip, error: BaseException) -> float | None:
        """Note the error. Returns: seconds until the next attempt, or None when there is none."""
        if not isinstance(error, Exception):  # a cancelled task, Ctrl-C
            self._came_back(trip, self._told(trip, "cancelled", "bound", error_type=type(error).__name__))
            return None
        found = failure(error)
        charge = "bound" if trip.seen.pieces else found.charge
        name = f"{found.status}" if (found.status or 0) >= 400 else type(error).__name__
        self._came_back(trip, self._told(trip, "error", charge, error_type=name))
        last = trip.asked.attempt >= settings().attempts or trip.seen.pieces
        return None if last or not found.retryable else pause_s(trip.asked.attempt, found)

    def ours(self, error: BaseException) -> BaseException:
        """The error for the caller: what a provider says in its own may be the prompt. Raise it ``from None``."""
        if not isinstance(error, Exception) or isinstance(error, LlmError | AssertionError):
            return error  # a cancelled task; what is ours already; a test's
        return failure(error).error(error, self.route.endpoint or self.route.provider, self.id)

    def cut(self, trip: Trip) -> ProviderBadAnswer:
        """A stream ended without saying so. Returns the error to raise."""
        self._came_back(trip, self._told(trip, "error", "bound", error_type="StreamCut"))
        return ProviderBadAnswer(
            f"{self.route.endpoint or self.route.provider} broke its answer off in the middle.", call=self.id
        )

    def _told(self, trip: Trip, outcome: str, charge: str, *, error_type: str = "") -> Told:
        seen = trip.seen
        return Told(
            trip.asked.id, outcome, charge, usage_of(seen.usage), error_type, seen.finish_reason[:50],
            seen.model[:200], trip.elapsed_ms(), trip.first_ms, seen.tool_rows(), self.route.provider,
            self.route.model, self.route.priced_as, self.route.endpoint,
        )  # fmt: skip

    def _came_back(self, trip: Trip, told: Told) -> None:
        """Settle it, and keep of what was said what may be kept."""
        written = None
        if trip.content is not None:
            try:
                written = trip.content.written(conversation(self.messages), answer(trip.said))
            except Exception as error:  # a provider's message like no other; its text may be what was said
                logger.error("What was said in call %s is not kept: %s.", told.id, type(error).__name__)
        self._end(trip, told, written)

    def _end(self, trip: Trip, told: Told, content: str | None = None) -> None:
        """An answer is not withheld because the ledger fails now: the row lapses at its bound."""
        try:
            ended = ledger.end(told, trip.asked, content)
            self.cost_micros = ended.cost_micros
            if ended.lost:
                logger.error("What was said in call %s is not kept: %s.", told.id, ended.lost)
        except LedgerError as error:
            logger.error(
                "Call %s came back and could not be settled: %s It will lapse at its bound.", told.id, error
            )


def subject(route: Route) -> dict[str, Any]:
    """Who and what the call is for, without naming anybody."""
    now = context.current()
    key = pseudonym(now.user)
    feature = route.feature.name if route.feature else now.feature or ""
    return {
        "feature": feature,
        "cohort": str(now.cohort or _cohort(now.user))[:100],
        "tenant": str(now.tenant or "")[:100],
        "user_key": key,
        "unit": key,
        "run": str(now.run or "")[:64],
        "node": str(now.node or "")[:200],
        "node_attempt": str(now.node_attempt or "")[:20],
    }


def _cohort(user: Any) -> str:
    path = settings().cohort
    choose: Callable[[Any], str | None] | None = import_string(path) if path and user is not None else None
    return (choose(user) or "") if choose else ""
