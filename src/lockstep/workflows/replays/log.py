"""The log that a replay answers from: what tools and models came to when the run worked."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.errors import GraphInterrupt

from lockstep.core.ports import Pin, Said
from lockstep.workflows.codec import Codec
from lockstep.workflows.models import ModelAnswer, Run, ToolCall
from lockstep.workflows.replays.report import Heard
from lockstep.workflows.state import digest
from lockstep.workflows.tools.ledger import Call, Found
from lockstep.workflows.tools.places import inside
from lockstep.workflows.tracing import Attempt

__all__ = ["Answering", "Departed", "Log", "Mode", "answer_key"]

Mode = Literal["recorded", "live-model"]


class Departed(BaseException):
    """A node does what the log does not tell of, and goes no further. No ``except Exception`` of a graph sees it."""


def answer_key(run: str, attempt: Attempt, request: str) -> tuple[str, int]:
    """The key of the next answer to ``request`` here, and how often the attempt has asked it before."""
    what = digest("model", attempt.task, attempt.ns, inside(), request)
    ordinal = attempt.ordinal(what)
    return digest(run, what, str(ordinal)), ordinal


@dataclass(slots=True)
class Log:
    """Of one run."""

    run: Run
    codec: Codec
    mode: Mode
    then: Mapping[str, str]
    """Task -> what it came to."""
    live: Collection[str] = ()
    """Tasks whose models are asked again, of those that run just now."""
    why: dict[str, str] = field(default_factory=dict)
    """Task -> what it did that the log does not tell of."""
    stood: set[str] = field(default_factory=set)
    """Tasks that went as far as the run had gone, and stopped where it stood."""
    spoken: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    tools: dict[str, ToolCall] = field(init=False)
    answers: dict[str, ModelAnswer] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        own = {"run": self.run, "expires_at": self.run.expires_at}
        self.tools = {call.key: call for call in ToolCall.objects.filter(**own)}
        self.answers = {answer.key: answer for answer in ModelAnswer.objects.filter(**own)}

    def begin(self) -> None:
        """Something new happens in the sandbox."""
        self.why, self.stood, self.spoken = {}, set(), defaultdict(list)

    def of_task(self, task: str) -> list[ModelAnswer]:
        """Answers that a task was given, in their order."""
        return [answer for answer in self.answers.values() if answer.task_id == task]

    def depart(self, task: str, why: str) -> Departed:
        with self._lock:
            self.why.setdefault(task, why)
        return Departed(why)

    def tool(self, call: Call, replayed: int) -> Found:
        """What the ledger says of a call; ``ledger.begin`` asks. Nothing is begun, whatever it says.

        Raises:
            Departed: it says nothing.
        """
        known, task = self.tools.get(call.key), call.place.attempt.task
        if known is None:
            if self.then.get(task) == "waiting" and self.cancelled:
                raise self._stop(task)
            raise self.depart(task, f"it calls the tool {call.tool!r}, and the log has no such call")
        if known.status in (ToolCall.Status.DONE, ToolCall.Status.FAILED):
            return Found(
                known.status,
                known.stops,
                known.result,
                known.error,
                known.kind,
                known.error_kind,
                known.attempts,
            )
        if replayed < len(known.stops):
            return Found("again", known.stops)
        if self.then.get(task) == "waiting":
            raise self._stop(task)
        raise self.depart(task, f"the log does not tell what became of its call of the tool {call.tool!r}")

    @property
    def cancelled(self) -> bool:
        """A node that was about to call a tool stopped instead."""
        status: str = (self.run.origin or {}).get("status", self.run.status)
        return status == Run.Status.CANCELLED

    def _stop(self, task: str) -> GraphInterrupt:
        with self._lock:
            self.stood.add(task)
        return GraphInterrupt(())


@dataclass(frozen=True, slots=True)
class Answering:
    """One call of a node that is replayed: serves ``core.ports.replay``."""

    log: Log
    attempt: Attempt

    @property
    def silent(self) -> bool:
        return self.log.mode == "recorded" or self.attempt.task not in self.log.live

    def pinned(self, prompt: str) -> Pin | None:
        for known in self.log.of_task(self.attempt.task):
            if known.prompt == prompt:
                return Pin(known.prompt_version, known.model)
        return None

    def answer(self, request: str) -> Said | None:
        if not self.silent:
            return None
        key, _ = answer_key(str(self.log.run.pk), self.attempt, request)
        known = self.log.answers.get(key)
        if known is None:
            raise self._unknown()
        if known.kept_out:
            raise self.log.depart(
                self.attempt.task,
                f"the answer of {known.model} was not kept: the policy {known.kept_out!r} of the feature"
                f" {known.feature!r} keeps it out",
            )
        return Said(
            self.log.codec.decode(known.answer), known.model, known.feature, known.prompt, known.prompt_version,
            known.cost_micros,
        )  # fmt: skip

    def _unknown(self) -> Departed:
        if self.log.of_task(self.attempt.task):
            return self.log.depart(self.attempt.task, "its request to the model differs")
        return self.log.depart(
            self.attempt.task, "it asks a model, and the log has no answer: none was noted for this node"
        )

    def note(self, request: str, said: Said) -> None:
        """What the live model says, beside what it said then."""
        key, _ = answer_key(str(self.log.run.pk), self.attempt, request)
        known = self.log.answers.get(key)
        then = None if known is None or known.answer is None else _text(self.log.codec.decode(known.answer))
        self.log.spoken[self.attempt.task].append(Heard(said.model, then, _text(said.messages)))


def _text(messages: Any) -> str:
    return "\n".join(str(message.text) for message in messages)
