"""Times as people read them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format

__all__ = ["shown"]


def shown(moment: datetime, form: str = "j M Y, H:i") -> str:
    """In the time zone of whoever looks; as it is in a project without time zones."""
    return date_format(timezone.localtime(moment) if timezone.is_aware(moment) else moment, form)
