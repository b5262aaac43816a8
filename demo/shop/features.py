"""What the shop asks models for. lockstep imports this module by its name."""

from __future__ import annotations

from django.conf import settings

from lockstep.llm import feature

answers = feature(
    "support.answer",
    owner="support@larkrise.example",
    model=settings.DEMO_MODEL,
    prompt="support-answer",
    data_class="personal",
)
"""Questions of customers, answered from the help centre."""
