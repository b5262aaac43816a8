"""What features cost, for the list of features."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.llm.admin import links
from lockstep.llm.admin.days import Days, midnight, today
from lockstep.llm.admin.display import money, number
from lockstep.llm.conf import settings
from lockstep.llm.models import Call

__all__ = ["last_30_days"]


def last_30_days(request: HttpRequest) -> Mapping[str, Mapping[str, SafeString | str]]:
    """Calls and spend by feature, with the way to them; nothing for those who may not see calls."""
    if not request.user.has_perm("lockstep_llm.view_call"):
        return {}
    chosen, now = settings(), today()
    days = Days(now - timedelta(days=29), now)
    rows = (
        Call.objects.using(chosen.database)
        .made()
        .filter(at__gte=midnight(days.first))
        .order_by()
        .values_list("feature")
        .annotate(calls=Count("*"), cost=Sum("cost_micros", filter=Q(currency=chosen.currency)))
    )
    calls: dict[str, SafeString | str] = {}
    costs: dict[str, SafeString | str] = {}
    for feature, count, cost in rows:
        to_calls = links.calls(feature=feature, day=str(days), state="sent")
        calls[feature] = format_html('<a href="{}">{}</a>', to_calls, number(count))
        to_spend = links.spend(feature=feature, by="version")
        costs[feature] = format_html('<a href="{}">{}</a>', to_spend, money(cost or 0, chosen.currency))
    return {"Calls, 30 days": calls, "Spend, 30 days": costs}
