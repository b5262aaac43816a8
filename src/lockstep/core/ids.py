"""Keys that Python makes, so that a row has one before it is written. Needs uuid-utils."""

from __future__ import annotations

from uuid_utils.compat import uuid7

__all__ = ["new_id"]


def new_id() -> str:
    """UUID version 7: ids sort by time."""
    return str(uuid7())
