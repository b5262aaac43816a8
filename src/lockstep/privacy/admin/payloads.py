"""Payloads in the admin: what was said in a call, as far as it is kept, for those who may look."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lockstep.core.links import soft
from lockstep.core.models import Feature
from lockstep.core.moments import shown
from lockstep.core.paging import Bounded
from lockstep.privacy.admin import policies
from lockstep.privacy.admin.absence import absence, call_in_ledger
from lockstep.privacy.admin.conversation import conversation
from lockstep.privacy.encryption import reveal
from lockstep.privacy.exceptions import EncryptionUnavailable
from lockstep.privacy.models import Payload

if TYPE_CHECKING:
    PayloadModelAdmin = admin.ModelAdmin[Payload]
else:
    PayloadModelAdmin = admin.ModelAdmin

__all__ = ["PayloadAdmin"]

REVEAL = "lockstep_privacy.reveal_payload"
REVEALED = "Encrypted content was read."


class FeatureFilter(admin.SimpleListFilter):
    """Features as the table of features has them: to ask a million payloads for theirs would take long."""

    title = "feature"
    parameter_name = "feature"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Feature.objects.order_by("name").values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payload]) -> QuerySet[Payload]:
        value = self.value()
        return queryset.filter(feature=value.replace("\0", "")) if value else queryset


@admin.register(Payload)
class PayloadAdmin(PayloadModelAdmin):
    list_display = ["when", "feature", "found", "kept_as", "until"]
    list_display_links = ["when"]
    list_filter = [FeatureFilter]
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = Bounded
    actions = None
    sortable_by = ()
    search_fields = ["=call"]
    search_help_text = "The whole id of a call, or a person's pseudonym."
    change_list_template = "lockstep/privacy/payloads.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/privacy/privacy.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payload]:
        return super().get_queryset(request).defer("request", "response").order_by("-at", "-call")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Payload], search_term: str
    ) -> tuple[QuerySet[Payload], bool]:
        term = search_term.replace("\0", "").strip()
        if not term:
            return queryset, False
        wanted = Q(subject=term)
        with contextlib.suppress(ValueError):
            wanted |= Q(call=uuid.UUID(term))
        return queryset.filter(wanted), False

    @admin.display(description="When")
    def when(self, payload: Payload) -> SafeString:
        day, clock = shown(payload.at, "j M Y"), shown(payload.at, "H:i:s")
        return format_html('<span class="nowrap">{}</span> <span class="nowrap">{}</span>', day, clock)

    @admin.display(description="Found and taken out")
    def found(self, payload: Payload) -> SafeString | str:
        return _findings(payload.entities) or "—"

    @admin.display(description="Kept")
    def kept_as(self, payload: Payload) -> SafeString:
        return _kept_as(payload)

    @admin.display(description="Expires")
    def until(self, payload: Payload) -> SafeString:
        return format_html('<span class="nowrap">{}</span>', shown(payload.expires_at))

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Payload | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Payload | None = None) -> bool:
        return False  # it expires, or is erased with everything else about its person

    def has_view_permission(self, request: HttpRequest, obj: Payload | None = None) -> bool:
        return request.user.has_perm("lockstep_privacy.view_payload")

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("policies/", wrap(self.policies_view), name="lockstep_privacy_payload_policies"),
            path("<path:object_id>/reveal/", wrap(self.reveal_view), name="lockstep_privacy_payload_reveal"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Payloads", **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """What was said, or why nothing of it is there."""
        call = self._call(request, object_id)
        payload = Payload.objects.filter(pk=call).first()
        if payload is None:
            return self._missing(request, call)
        return self._shown(request, payload)

    def reveal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The same with encrypted content opened. Who opened it is written down before anything is shown."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        call = self._call(request, object_id)
        if not request.user.has_perm(REVEAL):
            raise PermissionDenied
        payload = Payload.objects.filter(pk=call).first()
        if payload is None:
            return self._missing(request, call)
        if not payload.encryption:
            return self._shown(request, payload)
        self.log_change(request, payload, REVEALED)
        try:
            opened = {
                name: reveal(getattr(payload, name)) if getattr(payload, name) else ""
                for name in ("request", "response")
            }
        except EncryptionUnavailable as error:
            return self._shown(request, payload, trouble=str(error))
        payload.request, payload.response = opened["request"], opened["response"]
        return self._shown(request, payload, revealed=True)

    def policies_view(self, request: HttpRequest) -> HttpResponse:
        """What is kept of each feature, and who says so."""
        if not policies.may_see(request):
            raise PermissionDenied
        return self._page(request, "policies", "What is kept", **policies.page())

    # --- parts ------------------------------------------------------------------------------------

    def _call(self, request: HttpRequest, object_id: str) -> uuid.UUID:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return uuid.UUID(object_id)
        except ValueError:
            raise Http404("This is no id of a call.") from None

    def _missing(self, request: HttpRequest, call: uuid.UUID) -> HttpResponse:
        row = call_in_ledger(call)
        if row is None:
            raise Http404("Nothing is kept under this id: it has expired, or there never was anything.")
        context = {"call": call, "why": absence(row), "call_url": _call_url(call, request)}
        return self._page(request, "missing", "Nothing is kept", **context)

    def _shown(
        self, request: HttpRequest, payload: Payload, *, revealed: bool = False, trouble: str = ""
    ) -> HttpResponse:
        sealed = bool(payload.encryption) and not revealed
        context = {
            "payload": payload,
            "kept_as": _kept_as(payload),
            "found": _findings(payload.entities),
            "sealed": sealed,
            "revealed": revealed,
            "trouble": trouble,
            "may_reveal": request.user.has_perm(REVEAL),
            "parts": [] if sealed else _parts(payload),
            "log": self._log(payload) if payload.encryption else [],
            "call_url": _call_url(payload.pk, request),
        }
        return self._page(request, "payload", "Payload", **context)

    def _log(self, payload: Payload) -> QuerySet[LogEntry]:
        kind = ContentType.objects.get_for_model(Payload)
        entries = LogEntry.objects.filter(content_type=kind, object_id=str(payload.pk))
        return entries.select_related("user").order_by("-action_time")[:20]

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
            "may_see_payloads": self.has_view_permission(request),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/privacy/{name}.html", common | context)


def _parts(payload: Payload) -> list[tuple[str, Any]]:
    texts = [("Asked", payload.request), ("Answered", payload.response)]
    return [(title, conversation(text) if text else None) for title, text in texts]


def _call_url(call: uuid.UUID, request: HttpRequest) -> str:
    return soft("lockstep_llm", "call", "change", request.user, str(call), verbs="view")


def _findings(entities: Any) -> SafeString | str:
    if not isinstance(entities, dict):
        return ""
    pills = sorted((str(kind), count) for kind, count in entities.items())
    return format_html_join(" ", '<span class="lockstep-pill">{} {}</span>', pills)


def _kept_as(payload: Payload) -> SafeString:
    if payload.encryption:
        return format_html('<span class="lockstep-pill lockstep-warn">{}</span>', "encrypted")
    if payload.policy == "off":
        return format_html('<span class="lockstep-pill lockstep-bad">{}</span>', "as it was")
    return format_html('<span class="lockstep-pill lockstep-good">{}</span>', "redacted")
