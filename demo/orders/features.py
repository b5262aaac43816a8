"""What refunds ask models for."""

from __future__ import annotations

from django.conf import settings

from lockstep.llm import feature

letters = feature(
    "refund.letter",
    owner="support@larkrise.example",
    model=settings.DEMO_MODEL,
    prompt="refund-letter",
    data_class="personal",
)
"""A few words to a customer who wants money back."""
