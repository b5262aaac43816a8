"""The process of one call: reads what to call from stdin, and writes what came of it to the pipe that it is given."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from importlib import import_module
from typing import Any

__all__ = ["main"]


def main() -> None:
    request: dict[str, Any] = pickle.load(sys.stdin.buffer)  # noqa: S301 -- our own parent wrote it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import django

        django.setup()
        answer = True, _called(pickle.loads(request["call"]))  # noqa: S301
    except BaseException as error:
        answer = False, error
    with os.fdopen(int(sys.argv[1]), "wb") as pipe:
        pipe.write(_pickled(answer))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the tool has left behind end with it


def _called(call: dict[str, Any]) -> Any:
    from lockstep.core import context
    from lockstep.workflows.tools.declaration import Tool

    found: Any = import_module(call["module"])
    for part in call["name"].split("."):
        found = getattr(found, part)
    function = found.function if isinstance(found, Tool) else found
    with context.use(**call["context"]):
        return function(*call["args"], **call["kwargs"])


def _pickled(answer: tuple[bool, Any]) -> bytes:
    try:
        text = pickle.dumps(answer)
        pickle.loads(text)  # noqa: S301 -- errors that take more arguments than they keep cannot be read back
    except Exception as error:
        from lockstep.workflows.exceptions import ToolMisused

        what = "result" if answer[0] else f"error ({type(answer[1]).__qualname__})"
        told = ToolMisused(f"The {what} of the tool cannot be pickled ({type(error).__name__}).")
        return pickle.dumps((False, told))
    return text


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
