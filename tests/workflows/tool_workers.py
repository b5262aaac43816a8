"""Callers of tools in processes of their own."""

from __future__ import annotations

__all__ = ["call_apart"]


def call_apart(seconds: float) -> None:
    import django

    django.setup()
    from lockstep.workflows import registry
    from tests.flows.tools import apart

    assert registry.newest("charging")
    apart.timeout_s = None
    apart("slow", seconds=seconds)
