"""What the refund agent does to the world. A call stands in the run's ledger: the intent before it, then the result."""

from __future__ import annotations

from typing import Any

import httpx
from django.conf import settings
from django.core.mail import send_mail

from lockstep.workflows import Backoff, tool

SENDER = "Larkrise Supply <support@larkrise.example>"


@tool(effect="keyed", timeout_s=20, max_attempts=6, backoff=Backoff(base_s=0.5, most_s=60))
def pay_back(order: str, pence: int, *, slowly: bool = False, idempotency_key: str = "") -> dict[str, Any]:
    """Tell the bank. It knows keys, so asking twice pays once."""
    answer = httpx.post(
        f"{settings.BANK_URL}payments",
        json={"order": order, "pence": pence, "slowly": slowly},
        headers={"Idempotency-Key": idempotency_key},
        timeout=15,
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@tool(effect="at_most_once", assignee="refunds")
def mail(to: str, subject: str, text: str) -> None:
    """No mail server knows keys: should a worker die in here, a person is asked whether the mail is out."""
    send_mail(subject, text, SENDER, [to])
