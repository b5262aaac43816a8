"""Real processes that start in a tenth of the time: each forks from one that has Django imported already.

They may be killed like any other (``process.kill()`` is SIGKILL) and share nothing with the test but the database.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["run", "start"]

#: Imported before the fork: nothing that reads settings.
PRELOAD = [
    "tests.processes",
    "django.core.management",
    "django.core.management.commands.migrate",
    "django.core.management.commands.makemigrations",
    "django.db.migrations.autodetector",
    "django.contrib.postgres.fields",
    "django.contrib.postgres.indexes",
    "django.contrib.postgres.search",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.forms",
    "django.test",
    "pgvector.django",
    "psycopg.conninfo",
    "langgraph.graph",
    "langgraph.types",
    "langchain_core.messages",
    "psycopg_pool",
    "lockstep.core.ports",
    "lockstep.core.conf",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOAD)


def start(
    call: Callable[..., Any],
    *arguments: Any,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
    answers: str = "",
) -> BaseProcess:
    """Start ``call(*arguments)`` in a process of its own.

    Args:
        environment: on top of ours; ``PYTHONPATH`` is put in front of ``sys.path``.
        output: file for stdout and stderr.
        answers: what it reads from stdin.
    """
    env = {**os.environ, **(environment or {})}
    process = _context.Process(
        target=_enter, args=(call, arguments, str(folder or "."), env, output, answers)
    )
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()  # the child would import our main module, pytest's for one
    finally:
        sys.modules["__main__"] = main
    return process


def run(call: Callable[..., Any], *arguments: Any, timeout_s: float = 60, **options: Any) -> int:
    """Start and wait. Returns: the exit status; 1 after an exception.

    Raises:
        TimeoutError: it had to be killed.
    """
    process = start(call, *arguments, **options)
    process.join(timeout_s)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{call.__name__}{arguments} did not end in {timeout_s} s")
    return process.exitcode or 0


def _enter(
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
    folder: str,
    environment: dict[str, str],
    output: Path | None,
    answers: str,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    if output:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
    reader, writer = os.pipe()
    os.write(writer, answers.encode())
    os.close(writer)
    os.dup2(reader, 0)
    sys.stdin = os.fdopen(0)
    status = 1
    try:
        call(*arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
