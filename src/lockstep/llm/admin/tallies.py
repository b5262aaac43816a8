"""What this installation computed itself, by the hour: to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from lockstep.llm.admin.display import duration, number
from lockstep.llm.conf import settings
from lockstep.llm.models import Tally

if TYPE_CHECKING:
    TallyModelAdmin = admin.ModelAdmin[Tally]
else:
    TallyModelAdmin = admin.ModelAdmin

__all__ = ["TallyAdmin"]


@admin.register(Tally)
class TallyAdmin(TallyModelAdmin):
    list_display = [
        "hour",
        "operation",
        "computed_by",
        "feature",
        "made",
        "errors",
        "counted",
        "tokens",
        "mean",
    ]
    list_filter = ["operation"]
    search_fields = ["model", "feature"]
    ordering = ["-hour", "-id"]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = None
    change_list_template = "lockstep/llm/money.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/llm/llm.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tally]:
        return super().get_queryset(request).using(settings().database)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Model", ordering="model")
    def computed_by(self, tally: Tally) -> str:
        return f"{tally.provider}:{tally.model}"

    @admin.display(description="Calls", ordering="calls")
    def made(self, tally: Tally) -> str:
        return number(tally.calls)

    @admin.display(description="Items", ordering="items")
    def counted(self, tally: Tally) -> str:
        return number(tally.items)

    @admin.display(description="Tokens in", ordering="input_tokens")
    def tokens(self, tally: Tally) -> str:
        return number(tally.input_tokens)

    @admin.display(description="Latency, mean")
    def mean(self, tally: Tally) -> str:
        return duration(tally.latency_ms / tally.calls) if tally.calls else "—"
