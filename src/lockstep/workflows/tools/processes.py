"""A call in a process of its own, which can be killed."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

from django.conf import settings

from lockstep.core import context
from lockstep.workflows.exceptions import ToolDied, ToolMisused

__all__ = ["call"]


def call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], timeout_s: float | None
) -> Any:
    """``function(*args, **kwargs)`` in a fresh process with this project's Django.

    Raises:
        TimeoutError: it took longer, and was killed with all that it had started.
        ToolDied: the process ended by itself, without a result.
        ToolMisused: arguments or result cannot be pickled.
    """
    given = context.current()
    told = {field.name: getattr(given, field.name) for field in fields(given) if field.name != "known"}
    wanted = {
        "module": function.__module__, "name": function.__qualname__, "args": tuple(args), "kwargs": dict(kwargs),
        "context": told,
    }  # fmt: skip
    try:
        request = pickle.dumps({"call": pickle.dumps(wanted)})
    except Exception as error:
        raise ToolMisused(
            f"The arguments of {function.__qualname__} cannot be pickled ({type(error).__name__})."
        ) from error
    reader, writer = os.pipe()
    process = subprocess.Popen(  # noqa: S603 -- our own interpreter
        [sys.executable, "-m", "lockstep.workflows.tools.child", str(writer)],
        stdin=subprocess.PIPE, pass_fds=(writer,), start_new_session=True, env=_environment(),
    )  # fmt: skip
    os.close(writer)
    try:
        return _answer(process, reader, request, timeout_s)
    finally:
        os.close(reader)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.close()
        process.wait()


def _answer(process: subprocess.Popen[bytes], reader: int, request: bytes, timeout_s: float | None) -> Any:
    until = None if timeout_s is None else time.monotonic() + timeout_s
    parts: list[bytes] = []
    assert process.stdin is not None
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except BrokenPipeError:
        raise ToolDied from None
    while True:
        left = None if until is None else max(until - time.monotonic(), 0)
        if not select.select([reader], [], [], left)[0]:
            raise TimeoutError(f"It has not ended after {timeout_s:g} s, and was killed.")
        part = os.read(reader, 1 << 16)
        if not part:
            break
        parts.append(part)
    if not parts:
        raise ToolDied(f"The tool's process ended without a result (status {process.wait()}).")
    good, found = pickle.loads(b"".join(parts))  # noqa: S301 -- our own child wrote it
    if good:
        return found
    raise found


def _environment() -> dict[str, str]:
    """Imports find there what they find here."""
    module = getattr(settings, "SETTINGS_MODULE", None)
    if not module:
        raise ToolMisused("isolation='process' needs settings in a module: DJANGO_SETTINGS_MODULE.")
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    return {**os.environ, "DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": path}
