"""What other sessions do to payloads, in processes and threads of their own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

__all__ = ["KEEP", "keep", "sweep_once", "together"]

KEEP = """
SELECT lockstep_core_keep_v1(%s::uuid, jsonb_build_object('feature', 'support.answer', 'subject', %s::text,
    'policy', 'redact', 'detectors', '', 'request', 'q', 'response', 'a', 'entities', '{}'::jsonb, 'encryption', '',
    'lifetime_s', %s * 86400.0))
"""


def keep(link: psycopg.Connection[Any], days: float, subject: str = "") -> str:
    call = str(uuid.uuid4())
    link.execute(KEEP, [call, subject, days])
    return call


def together(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run at the same time; what each returned, or the exception it ended with."""
    results: list[Any] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(at: int) -> None:
        start.wait()
        try:
            results[at] = work[at]()
        except Exception as error:
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def sweep_once(database: str, table: str, patience_ms: int) -> None:
    """One purge in a process of its own, which says when it has begun."""
    with psycopg.connect(database, autocommit=True) as link:
        print(link.info.backend_pid, flush=True)
        link.execute("SELECT lockstep_core_purge_v1(%s, %s)", [table, patience_ms])
        print("done", flush=True)
