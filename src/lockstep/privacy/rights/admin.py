"""Receipts in the admin: to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.pseudonyms import pseudonyms
from lockstep.privacy.rights.models import Receipt
from lockstep.privacy.rights.texts import line

if TYPE_CHECKING:
    ReceiptModelAdmin = admin.ModelAdmin[Receipt]
else:
    ReceiptModelAdmin = admin.ModelAdmin

__all__ = ["ReceiptAdmin"]


@admin.register(Receipt)
class ReceiptAdmin(ReceiptModelAdmin):
    list_display = ["when", "what", "person", "by", "counted"]
    list_display_links = ["when"]
    list_filter = ["kind", "at"]
    search_fields = ["subject"]
    search_help_text = "The person's key, or the pseudonym; who did it."
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = None
    change_list_template = "lockstep/privacy/receipts.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        return super().get_queryset(request).using(router.db_for_write(Receipt))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Receipt], search_term: str
    ) -> tuple[QuerySet[Receipt], bool]:
        """Whoever asks knows the person's key; the receipt only knows the pseudonym."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(subject__in=[term, *pseudonyms(term)]) | Q(actor__icontains=term)), False

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # erasing and exporting write it

    def has_change_permission(self, request: HttpRequest, obj: Receipt | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Receipt | None = None) -> bool:
        return False  # the database would refuse

    # --- the list ---------------------------------------------------------------------------------

    @admin.display(description="When", ordering="at")
    def when(self, receipt: Receipt) -> SafeString:
        moment = timezone.localtime(receipt.at) if timezone.is_aware(receipt.at) else receipt.at
        day, clock = date_format(moment, "j M Y"), date_format(moment, "H:i:s")
        return format_html('<span class="nowrap">{}</span> <span class="nowrap">{}</span>', day, clock)

    @admin.display(description="What", ordering="kind")
    def what(self, receipt: Receipt) -> SafeString:
        held = receipt.total("held")
        pill = format_html('<span class="lockstep-pill">{}</span>', receipt.get_kind_display())
        kept = format_html(' <span class="lockstep-pill lockstep-warn">{}</span>', f"{held} held")
        return pill + kept if held else pill

    @admin.display(description="Person", ordering="subject")
    def person(self, receipt: Receipt) -> SafeString:
        return format_html('<code class="lockstep-anywhere">{}</code>', receipt.subject)

    @admin.display(description="By, reason", ordering="actor")
    def by(self, receipt: Receipt) -> SafeString:
        told = '<span class="lockstep-anywhere">{}</span><br><span class="quiet lockstep-anywhere">{}</span>'
        return format_html(told, receipt.actor, receipt.reason)

    @admin.display(description="Rows")
    def counted(self, receipt: Receipt) -> str:
        return line({kind: receipt.total(kind) for kind in ("erased", "blanked", "held", "exported")})

    # --- pages ------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Receipts", **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one receipt; nothing is edited."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return HttpResponseNotAllowed(["GET"])
        receipt = self.get_object(request, object_id)
        if receipt is None:
            raise Http404("There is no such receipt.")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Receipt, {receipt.get_kind_display()}",
            "media": self.media,
            "receipt": receipt,
            "what": self.what(receipt),
            "tables": [(name, line(found)) for name, found in sorted(receipt.counts.items())],
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "lockstep/privacy/receipt.html", context)
