"""How long to leave a provider alone before it is asked again."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["SPENT", "pause_s", "retry_after_s"]

SPENT = {"insufficient_quota", "billing_hard_limit_reached"}
"""Codes of a 429 that no waiting cures."""


def pause_s(attempt: int, retry_after_s: float | None, *, backoff_s: float, cap_s: float) -> float:
    """Seconds before the next attempt.

    Args:
        attempt: the one that failed, counted from 0.
        retry_after_s: what the provider asked for; it is waited for at least.
        backoff_s: the n-th wait is drawn between 0 and ``backoff_s * 2**n`` (full jitter), at most ``cap_s``.
    """
    jitter = random.uniform(0, min(cap_s, backoff_s * 2**attempt))  # noqa: S311 -- no secret
    return (retry_after_s or 0.0) + jitter


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The header ``Retry-After`` in seconds, whether it is a number or a date; None where it is neither."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
