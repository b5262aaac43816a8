"""Short words with a colour, for the pages of the admin: ``lockstep/core/admin.css`` has what they look like."""

from __future__ import annotations

from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString

__all__ = ["Tone", "pill"]

Tone = Literal["good", "warn", "bad", ""]


def pill(text: object, tone: Tone = "") -> SafeString:
    """``text``, escaped, in the colour of the tone."""
    return format_html('<span class="lockstep-pill{}">{}</span>', f" lockstep-{tone}" if tone else "", text)
