"""Calls that do not go through LangChain: embeddings and reranks of ``search``, by core's metering port.

One that another process answers is a row, like any call. What is computed in this process costs nothing and is
counted by the hour: a search is not worth a row.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lockstep.core import features
from lockstep.core.exceptions import FeatureError
from lockstep.core.ids import new_id
from lockstep.core.ports import Usage
from lockstep.core.testruns import under_test_runner
from lockstep.llm import ledger
from lockstep.llm.conf import settings
from lockstep.llm.connection import once
from lockstep.llm.exceptions import LedgerError
from lockstep.llm.ledger import MOST_TOKENS, Asked, Told
from lockstep.llm.money.prices import priced_as
from lockstep.llm.refusals import Route, refusal, refused

__all__ = ["Recorder", "Tallies", "tallies"]

logger = logging.getLogger("lockstep.llm")
FLUSH_S = 5.0
"""Counts of the last seconds are lost with a killed process; they are no money."""


class Recorder:
    """Registered on ``core.ports.metering``."""

    @contextmanager
    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> Iterator[Usage]:
        usage, started = Usage(), time.perf_counter()
        asked = _begun(operation, provider, model, feature, most_tokens, endpoint) if remote else None
        error: BaseException | None = None
        try:
            yield usage
        except BaseException as caught:
            error = caught
            raise
        finally:
            elapsed_ms = round((time.perf_counter() - started) * 1000)
            if asked:
                _end(asked, usage, error, elapsed_ms)
            else:
                tallies.add((operation, provider, model, feature or ""), usage, error is not None, elapsed_ms)


def _begun(
    operation: str, provider: str, model: str, feature: str | None, most_tokens: int, endpoint: str
) -> Asked | None:
    from lockstep.llm.door import subject  # LangChain with it: not at every start of Django

    route = Route(provider, model, endpoint, priced_as(provider, model), _spec(feature))
    new = new_id()
    asked = Asked(
        id=new, invocation=new, attempt=1, operation=operation, provider=provider, model=model,
        priced_as=route.priced_as, endpoint=endpoint, bound_input=min(most_tokens, MOST_TOKENS), bound_output=0,
        refused=refusal(route), **subject(route),
    )  # fmt: skip
    try:
        begun = ledger.begin(asked)
    except LedgerError:
        if under_test_runner():  # a test without a database, which knows nothing of us
            return None
        raise
    if begun.refused:
        raise refused(begun.refused, begun.held, asked)
    return asked


def _end(asked: Asked, usage: Usage, error: BaseException | None, elapsed_ms: int) -> None:
    counted = (
        ledger.Usage(usage.input_tokens, usage.output_tokens or 0) if usage.input_tokens is not None else None
    )
    late = isinstance(error, TimeoutError)  # it may have been computed, and billed
    charge = "usage" if counted else "bound" if late else "none" if error else "unknown"
    told = Told(
        asked.id, "error" if error else "ok", charge, counted, type(error).__name__ if error else "",
        response_model=usage.response_model, latency_ms=elapsed_ms,
    )  # fmt: skip
    try:
        ledger.end(told, asked)
    except LedgerError as failed:
        logger.error("Call %s came back and could not be settled: %s It will lapse.", asked.id, failed)


def _spec(feature: str | None) -> features.FeatureSpec | None:
    try:
        return features.spec(feature) if feature else None
    except FeatureError:
        return features.FeatureSpec(str(feature))


class Tallies:
    """Counts by hour, kept in the process for a few seconds and then added to the table."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, str, str, str, str], Counter[str]] = {}
        self._timer: threading.Timer | None = None
        self._pid = os.getpid()

    def add(self, what: tuple[str, str, str, str], usage: Usage, failed: bool, elapsed_ms: int) -> None:
        """Count one call of ``(operation, provider, model, feature)``."""
        more = {
            "calls": 1, "errors": int(failed), "items": usage.items, "input_tokens": usage.input_tokens or 0,
            "latency_ms": elapsed_ms,
        }  # fmt: skip
        with self._lock:
            if self._pid != os.getpid():  # what a parent has counted is the parent's
                self._counts, self._timer, self._pid = {}, None, os.getpid()
            self._counts.setdefault((int(time.time()) // 3600, *what), Counter()).update(more)
            if self._timer is None and not under_test_runner():
                self._timer = threading.Timer(FLUSH_S, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Add what was counted to the table. What cannot be written now is tried again with the next."""
        with self._lock:
            counts, self._counts, self._timer = self._counts, {}, None
        rows = [
            {"hour": hour * 3600, "operation": operation, "provider": provider, "model": model, "feature": feature,
             **numbers}
            for (hour, operation, provider, model, feature), numbers in counts.items()
        ]  # fmt: skip
        if not rows:
            return
        try:
            once("SELECT lockstep_llm_tally_v1(%s::jsonb)", (json.dumps(rows),))
        except LedgerError as error:
            logger.info("Counts of local calls wait: %s", error)
            with self._lock:
                for what, numbers in counts.items():
                    self._counts.setdefault(what, Counter()).update(numbers)

    def forget(self) -> None:
        """Drop what was counted (tests)."""
        with self._lock:
            self._counts = {}


tallies = Tallies()


@atexit.register
def _at_exit() -> None:
    if not under_test_runner() and tallies._counts and tallies._pid == os.getpid():
        try:
            settings()
            tallies.flush()
        except Exception as error:
            logger.debug("Counts of the last seconds are lost: %s", type(error).__name__)
