"""Where the door asks whether a run takes note of its call."""

from __future__ import annotations

import sys

from lockstep.core.ports import Played

__all__ = ["notes"]


class Notes:
    """Serves ``core.ports.replay``."""

    def call(self) -> Played | None:
        tracing = sys.modules.get("lockstep.workflows.tracing")
        if tracing is None:  # no run works in this process: it need not load LangGraph for this
            return None
        tracer, attempt = tracing.current(), tracing.attempt()
        if tracer is None or attempt is None:
            return None
        from lockstep.workflows.replays.log import Answering
        from lockstep.workflows.replays.noting import Noting

        if tracer.log is not None:
            return Answering(tracer.log, attempt)
        return None if tracer.fence is None else Noting(tracer, tracer.fence, attempt)


notes = Notes()
