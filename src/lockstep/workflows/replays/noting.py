"""What models say to nodes, noted while a run works."""

from __future__ import annotations

import json
import logging
from typing import Any

from lockstep.core import ports
from lockstep.core.ports import Pin, Said
from lockstep.workflows.connection import apart
from lockstep.workflows.replays.log import answer_key
from lockstep.workflows.saver import Fence
from lockstep.workflows.tracing import Attempt, Tracer

__all__ = ["Noting"]

logger = logging.getLogger("lockstep.workflows")
SAID = "SELECT lockstep_workflows_said_v1(%s::jsonb, %s::jsonb)"


class Noting:
    """One call of a run that works."""

    silent = False

    def __init__(self, tracer: Tracer, fence: Fence, attempt: Attempt) -> None:
        self.tracer = tracer
        self.fence = fence
        self.attempt = attempt

    def pinned(self, prompt: str) -> Pin | None:
        return None

    def answer(self, request: str) -> Said | None:
        return None

    def note(self, request: str, said: Said) -> None:
        key, ordinal = answer_key(self.fence.run, self.attempt, request)
        try:
            kept_out = _kept_out(said)
            answer = None if kept_out else self.tracer.codec.dumps([*said.messages], name="answer")
            told = {
                "run": self.fence.run, "epoch": self.fence.epoch, "key": key, "ns": self.attempt.ns,
                "node": self.attempt.node, "task": self.attempt.task, "ordinal": ordinal, "request": request,
                "feature": said.feature, "model": said.model, "prompt": said.prompt,
                "prompt_version": said.prompt_version, "cost_micros": said.cost_micros, "kept_out": kept_out,
            }  # fmt: skip
            apart.query(SAID, (json.dumps(told), answer))
        except (
            Exception
        ) as error:  # the answer is paid for: the node has it, whether it can be replayed or not
            logger.warning("An answer in run %s is not noted (%s).", self.fence.run, type(error).__name__)


def _kept_out(said: Said) -> str:
    """Why an exact copy of the answer may not be kept: the feature's policy. Empty: it may."""
    redaction = ports.redaction.get()
    if isinstance(redaction, ports.NoRedaction):  # nobody redacts: the state of the run is exact as well
        return ""
    copy = redaction.redact([_content(message) for message in said.messages], feature=said.feature or None)
    if copy is None:
        return "metadata"
    if copy.encrypted:
        return "redact_encrypt"
    return "redact" if copy.counts else ""


def _content(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = message.model_dump(include={"content", "tool_calls", "invalid_tool_calls"})
    return found
