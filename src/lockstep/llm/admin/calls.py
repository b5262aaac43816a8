"""Calls in the admin: a list to look in, a page for each, and what all of them cost."""

from __future__ import annotations

import contextlib
import csv
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.paging import Bounded
from lockstep.core.pills import pill
from lockstep.llm.admin import links
from lockstep.llm.admin.arithmetic import account
from lockstep.llm.admin.dimensions import DIMENSIONS
from lockstep.llm.admin.display import duration, money, number
from lockstep.llm.admin.filters import FILTERS
from lockstep.llm.admin.spend_page import SpendPage
from lockstep.llm.conf import settings
from lockstep.llm.models import Call, CallQuerySet

if TYPE_CHECKING:
    CallModelAdmin = admin.ModelAdmin[Call]
else:
    CallModelAdmin = admin.ModelAdmin

__all__ = ["CallAdmin"]

RECENT = 10_000
"""Newest calls that the filters take their choices from."""
OFFERED = 40
"""Choices of a filter, the most frequent."""

_CHOICES = """
SELECT CASE WHEN grouping(feature) = 0 THEN 'feature' WHEN grouping(cohort) = 0 THEN 'cohort'
    WHEN grouping(prompt) = 0 THEN 'version' WHEN grouping(request_model) = 0 THEN 'model' ELSE 'provider' END,
    coalesce(feature, cohort, prompt, provider), coalesce(prompt_version, request_model)
FROM (
    SELECT feature, cohort, prompt, prompt_version, provider, request_model
    FROM lockstep_llm_call ORDER BY at DESC, id DESC LIMIT %s
) AS recent
GROUP BY GROUPING SETS ((feature), (cohort), (prompt, prompt_version), (provider, request_model), (provider))
ORDER BY count(*) DESC, 2, 3
"""


@admin.register(Call)
class CallAdmin(CallModelAdmin):
    list_display = ["when", "came_of", "what", "cost", "latency", "tokens", "asked"]
    list_display_links = ["when"]
    list_filter = tuple(FILTERS)
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = Bounded
    actions = None
    search_fields = ["=id"]
    search_help_text = "The whole id of a call, a run, a trace or a person's pseudonym."
    change_list_template = "lockstep/llm/calls.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/llm/llm.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> CallQuerySet:
        return Call.objects.using(settings().database).defer("tools").order_by("-at", "-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Call], search_term: str
    ) -> tuple[QuerySet[Call], bool]:
        term = search_term.replace("\0", "").strip()
        if not term:
            return queryset, False
        wanted = Q(run=term) | Q(trace_id=term) | Q(user_key=term)
        with contextlib.suppress(ValueError):
            wanted |= Q(id=uuid.UUID(term)) | Q(invocation=uuid.UUID(term))
        return queryset.filter(wanted), False

    def recent(self, request: HttpRequest) -> dict[str, list[str]]:
        """Dimension -> keys of the newest calls, the most frequent first. Asked once a request."""
        known: dict[str, list[str]] | None = getattr(request, "_lockstep_recent", None)
        if known is None:
            known = defaultdict(list)
            with connections[settings().database].cursor() as cursor:
                cursor.execute(_CHOICES, [RECENT])
                for name, first, second in cursor.fetchall():
                    dimension = DIMENSIONS[name]
                    if len(known[name]) < OFFERED:
                        known[name].append(dimension.key(first, second) if dimension.separator else first)
            request._lockstep_recent = known  # type: ignore[attr-defined]
        return known

    @admin.display(description="When", ordering="at")
    def when(self, call: Call) -> SafeString:
        from django.utils import timezone
        from django.utils.formats import date_format

        moment = timezone.localtime(call.at) if timezone.is_aware(call.at) else call.at
        day, clock = date_format(moment, "j M Y"), date_format(moment, "H:i:s")
        return format_html('<span class="nowrap">{}</span> <span class="nowrap">{}</span>', day, clock)

    @admin.display(description="Feature", ordering="feature")
    def what(self, call: Call) -> SafeString:
        beside = [call.cohort] if call.cohort else []
        if call.operation != Call.Operation.CHAT:
            beside.append(call.get_operation_display())
        return format_html('{}<br><span class="quiet">{}</span>', call.feature or "—", ", ".join(beside))

    @admin.display(description="Model, prompt", ordering="request_model")
    def asked(self, call: Call) -> SafeString:
        model = format_html('<span class="quiet">{}:</span>{}', call.provider, call.request_model)
        if not call.prompt:
            return model
        version = call.prompt_version[:12]
        arm = f" {call.arm}" if call.arm else ""
        return format_html(
            '{}<br><span class="quiet">{} <code>{}</code>{}</span>', model, call.prompt, version, arm
        )

    @admin.display(description="Outcome", ordering="outcome")
    def came_of(self, call: Call) -> SafeString:
        return _outcome(call)

    @admin.display(description="Tokens", ordering="input_tokens")
    def tokens(self, call: Call) -> SafeString | str:
        if call.input_tokens is None and call.output_tokens is None:
            return "—"
        text = f"{number(call.input_tokens or 0)} → {number(call.output_tokens or 0)}"
        return format_html('<span class="nowrap">{}</span>', text)

    @admin.display(description="Cost", ordering="cost_micros")
    def cost(self, call: Call) -> SafeString:
        return _cost(call)

    @admin.display(description="Latency", ordering="latency_ms")
    def latency(self, call: Call) -> SafeString | str:
        if call.latency_ms is None:
            return "—"
        return format_html('<span class="nowrap">{}</span>', duration(call.latency_ms))

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        return False  # the ledger is written by the database's own functions

    def has_delete_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Call | None = None) -> bool:
        return request.user.has_perm("lockstep_llm.view_call")

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.spend_view)
        return [path("spend/", view, name="lockstep_llm_call_spend"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one call."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        call = self._call(object_id)
        attempts = list(self.get_queryset(request).attempts(call.invocation).order_by("attempt", "at"))
        sums = account(call, settings().database)
        context = {
            "call": call,
            "outcome": _outcome(call),
            "cost": _cost(call),
            "attempts": [(row, _outcome(row), _cost(row), _ms(row.latency_ms)) for row in attempts],
            "account": sums,
            "lines": sums and [(line, _plain(line.price), _plain(line.amount)) for line in sums.lines],
            "amounts": sums and _amounts(call, sums),
            "no_account": "" if sums else _why_no_account(call),
            "worth": "" if call.result_value is None else _plain(call.result_value),
            "bound": _exactly(call.bound_micros, call.currency),
            "recorded": _exactly(call.cost_micros, call.currency),
            "latency": _ms(call.latency_ms),
            "first_token": _ms(call.first_token_ms),
            "feature_url": links.feature(call.feature, request.user),
            "version_url": links.prompt_version(call.prompt, call.prompt_version, request.user),
            "payload_url": links.payload(call.pk, request.user),
            "run_url": links.calls(run=call.run),
            "user_url": links.calls(q=call.user_key),
        }
        return self._page(request, "call", "Call", **context)

    def spend_view(self, request: HttpRequest) -> HttpResponse:
        """What calls cost, by day and group; as a page or as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        page = SpendPage.asked(request.GET)
        if request.GET.get("format") == "csv":
            answer = HttpResponse(content_type="text/csv; charset=utf-8")
            answer["Content-Disposition"] = f'attachment; filename="{page.file_name}"'
            csv.writer(answer).writerows(page.table())
            return answer
        return self._page(request, "spend", "Spend", page=page)

    # --- parts ------------------------------------------------------------------------------------

    def _call(self, object_id: str) -> Call:
        try:
            return Call.objects.using(settings().database).get(pk=uuid.UUID(object_id))
        except (Call.DoesNotExist, ValueError):
            raise Http404("There is no such call.") from None

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/llm/{name}.html", common | context)


STATES = {
    Call.State.RESERVED: pill("under way"),
    Call.State.LAPSED: pill("lapsed", "bad"),
    Call.State.REFUSED: pill("refused", "warn"),
}
"""Of calls without an outcome."""
OUTCOMES = {
    "ok": pill("answered", "good"),
    "error": pill("failed", "bad"),
    "refused": pill("refused", "warn"),
}


def _outcome(call: Call) -> SafeString:
    """In words and in colour."""
    shown = (
        STATES.get(Call.State(call.state))
        or OUTCOMES.get(call.outcome)
        or pill(call.get_outcome_display() or "settled", "warn")
    )
    if not call.error_type or call.state == Call.State.LAPSED:
        return shown
    return format_html('{} <span class="quiet lockstep-key">{}</span>', shown, call.error_type)


def _cost(call: Call) -> SafeString:
    if call.cost_micros is None and call.state == Call.State.RESERVED:
        if call.bound_micros is None:
            return format_html('<span class="quiet">{}</span>', "open")
        return format_html('<span class="quiet nowrap">≤ {}</span>', money(call.bound_micros, call.currency))
    if call.cost_micros is None:
        return pill("unpriced", "warn")
    text = format_html('<span class="nowrap">{}</span>', money(call.cost_micros, call.currency))
    if call.usage_source == Call.UsageSource.BOUND:
        return format_html('{} <span class="quiet">{}</span>', text, "bound")
    return text


def _why_no_account(call: Call) -> str:
    if call.usage_source == Call.UsageSource.NONE:
        return "Nothing was sent, or nothing was charged: the call is free."
    if call.price_id is None:
        return (
            f"No price of {call.provider}:{call.request_model} held at that time, so nobody knows the cost."
        )
    if call.rate_id is None:
        return f"No exchange rate into {call.currency} was known for that day, so nobody knows the cost."
    return "The price row that was used is not in this database."


def _amounts(call: Call, sums: Any) -> dict[str, Any]:
    return {
        "fee": _plain(sums.price.per_request) if sums.price.per_request else "",
        "subtotal": _plain(sums.subtotal),
        "rate": _plain(sums.rate.rate) if sums.rate else "",
        "converted": _plain(sums.converted),
        "micros": money(sums.micros, call.currency, exact=True),
        "recorded": _exactly(sums.recorded, call.currency),
    }


def _plain(value: Any) -> str:
    return f"{value.normalize():f}"


def _exactly(micros: int | None, currency: str) -> str:
    return "" if micros is None else money(micros, currency, exact=True)


def _ms(value: int | None) -> str:
    return "" if value is None else duration(value)
