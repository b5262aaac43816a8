"""What is said of an error where its text may not be: in logs, and in the rows that everybody may see."""

from __future__ import annotations

import traceback

__all__ = ["kind_of", "told_safely"]


def kind_of(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:200]


def told_safely(error: BaseException) -> str:
    """Kind and place of an error, for logs: its text may hold anything that the node was given."""
    frames = traceback.extract_tb(error.__traceback__, limit=-10)
    return "\n".join([kind_of(error), *(f"  {at.filename}:{at.lineno} in {at.name}" for at in frames)])
