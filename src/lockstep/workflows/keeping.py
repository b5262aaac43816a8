"""How long runs are kept, and what becomes of a person in them."""

from __future__ import annotations

from datetime import timedelta

from lockstep.core import ports

__all__ = ["KEEP", "MOST", "register"]

KEEP = timedelta(days=30)
MOST = timedelta(days=90)
UNCLAIMED = timedelta(days=7)
"""What an event says, while nobody waits for it."""
LEDGER = timedelta(days=396)
"""A run without its content, what became of its nodes and of its attempts at tools: as long as the ledger."""

RUN = "lockstep_workflows.Run"
NODES = "lockstep_workflows.NodeExecution"
EVENT = "lockstep_workflows.InboundEvent"
BODY = "lockstep_workflows.InboundBody"
ATTEMPTS = "lockstep_workflows.ToolAttempt"
EXPORTS = "lockstep_workflows.RunExport"
CONTENT = {
    "lockstep_workflows.RunContent": ("data",),
    "lockstep_workflows.Checkpoint": ("state", "outputs", "meta"),
    "lockstep_workflows.CheckpointWrite": ("writes",),
    "lockstep_workflows.Wait": ("payload", "schema", "answer"),
    "lockstep_workflows.ToolCall": ("args", "result", "error", "external_key"),
    "lockstep_workflows.ModelAnswer": ("answer",),
}


def register() -> None:
    """Content expires with its run; a run whose person is erased keeps its times and its end."""
    for model, fields in CONTENT.items():
        ports.retention.register(model, ports.Retained(model, content=fields, keep=KEEP, most=MOST))
        ports.subjects.register(model, ports.Subject(model, "subject", pseudonym=True, before=(RUN,)))
    ports.retention.register(BODY, ports.Retained(BODY, content=("data",), keep=UNCLAIMED, most=MOST))
    ports.ageing.register(EVENT, ports.Aged(EVENT, at="received_at", keep=lambda: LEDGER))
    ports.subjects.register(EVENT, ports.Subject(EVENT, "subject", pseudonym=True, blank=("subject", "key")))
    ports.ageing.register(RUN, ports.Aged(RUN, at="at", keep=lambda: LEDGER))
    ports.ageing.register(NODES, ports.Aged(NODES, at="at", keep=lambda: LEDGER))
    ports.ageing.register(ATTEMPTS, ports.Aged(ATTEMPTS, at="at", keep=lambda: LEDGER))
    ports.ageing.register(EXPORTS, ports.Aged(EXPORTS, at="at", keep=lambda: LEDGER))
    ports.subjects.register(
        RUN, ports.Subject(RUN, "user_key", pseudonym=True, blank=("user_key", "user_id"))
    )
