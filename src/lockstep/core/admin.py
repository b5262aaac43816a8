"""Features in the admin: what the code declares, what it costs, and the switch that the next call obeys; with what else
of core has pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.models import Feature
from lockstep.core.notify.admin import NoticeAdmin
from lockstep.core.retention.admin import EvidenceAdmin, LegalHoldAdmin, PurgeAdmin

if TYPE_CHECKING:
    FeatureModelAdmin = admin.ModelAdmin[Feature]
else:
    FeatureModelAdmin = admin.ModelAdmin

__all__ = [
    "EvidenceAdmin",
    "FeatureAdmin",
    "Figures",
    "LegalHoldAdmin",
    "NoticeAdmin",
    "PurgeAdmin",
    "figures",
]

Figures = Callable[[HttpRequest], Mapping[str, Mapping[str, SafeString | str]]]
"""What another app knows of features: column -> feature -> cell. Asked once a page."""

figures: list[Figures] = []
"""Apps above add theirs when their admin is loaded."""


class SwitchForm(forms.Form):
    reason = forms.CharField(
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept in the log, with your name.",
    )


@admin.register(Feature)
class FeatureAdmin(FeatureModelAdmin):
    search_fields = ["name", "owner", "model", "prompt"]
    list_filter = ["enabled", "declared", "data_class", "owner"]
    ordering = ["-declared", "name"]
    actions = None
    change_list_template = "lockstep/core/features.html"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = [_column(title, known) for title, known in _asked(request).items()]
        return ["named", "switch", *columns, "asks", "data"]

    @admin.display(description="Feature, owner", ordering="name")
    def named(self, feature: Feature) -> SafeString:
        return format_html('{}<br><span class="quiet">{}</span>', feature.name, feature.owner)

    @admin.display(description="State", ordering="enabled")
    def switch(self, feature: Feature) -> SafeString:
        return _state(feature)

    @admin.display(description="Model and prompt", ordering="model")
    def asks(self, feature: Feature) -> SafeString:
        return format_html('{}<br><span class="quiet">{}</span>', feature.model or "—", feature.prompt)

    @admin.display(description="Data, endpoints", ordering="data_class")
    def data(self, feature: Feature) -> SafeString:
        count = len(feature.endpoints)
        where = f"{count} endpoint{'s' if count > 1 else ''} only" if count else "all endpoints"
        return format_html('{}<br><span class="quiet">{}</span>', feature.data_class, where)

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the code declares features

    def has_delete_permission(self, request: HttpRequest, obj: Feature | None = None) -> bool:
        return False

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.switch_view)
        return [
            path("<path:object_id>/switch/", view, name="lockstep_core_feature_switch"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one feature; nothing is edited here but the switch, which is a page of its own."""
        feature = self._feature(request, object_id)
        content_type = ContentType.objects.get_for_model(Feature)
        switched = LogEntry.objects.filter(content_type=content_type, object_id=feature.pk)
        facts = [(title, known.get(feature.name, "—")) for title, known in _asked(request).items()]
        context = {"log": switched.select_related("user").order_by("-action_time")[:20], "facts": facts}
        return self._page(request, feature, "feature", feature.name, **context)

    def switch_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Off or on again, with a reason."""
        feature = self._feature(request, object_id)
        if not self.has_change_permission(request, feature):
            raise PermissionDenied
        form = SwitchForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._switch(request, feature, "on" in request.POST, form.cleaned_data["reason"])
            return HttpResponseRedirect(_url("change", feature))
        title = f"Switch {feature.name} {'off' if feature.enabled else 'on'}"
        return self._page(request, feature, "switch", title, form=form)

    # --- parts ------------------------------------------------------------------------------------

    def _switch(self, request: HttpRequest, feature: Feature, on: bool, reason: str) -> None:
        with transaction.atomic():
            changed = Feature.objects.filter(pk=feature.pk, enabled=not on).update(enabled=on)
            if changed:
                self.log_change(request, feature, f"Switched {'on' if on else 'off'}: {reason}")
        if not changed:
            messages.warning(
                request, f"{feature.name} was switched {'on' if on else 'off'} by somebody meanwhile."
            )
        elif on:
            messages.success(request, f"{feature.name} is on: the next call is made.")
        else:
            messages.success(request, f"{feature.name} is off: the next call is refused.")

    def _feature(self, request: HttpRequest, object_id: str) -> Feature:
        feature = Feature.objects.filter(pk=unquote(object_id)).first()
        if not self.has_view_permission(request, feature):
            raise PermissionDenied
        if feature is None:
            raise Http404("There is no such feature.")
        return feature

    def _page(
        self, request: HttpRequest, feature: Feature, name: str, title: str, **context: Any
    ) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "feature": feature,
            "state": _state(feature),
            "object_id": quote(feature.pk),
            "may_switch": self.has_change_permission(request, feature),
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/core/{name}.html", common | context)


def _state(feature: Feature) -> SafeString:
    if not feature.enabled:
        return format_html('<span class="lockstep-pill lockstep-bad">{}</span>', "switched off")
    if not feature.declared:
        return format_html('<span class="lockstep-pill">{}</span>', "no longer declared")
    return format_html('<span class="lockstep-pill lockstep-good">{}</span>', "on")


def _asked(request: HttpRequest) -> dict[str, Mapping[str, SafeString | str]]:
    """What all apps know, asked once: Django wants the columns of a list several times."""
    known: dict[str, Mapping[str, SafeString | str]] | None = getattr(request, "_lockstep_figures", None)
    if known is None:
        known = {}
        for ask in figures:
            known |= ask(request)
        request._lockstep_figures = known  # type: ignore[attr-defined]
    return known


def _column(title: str, known: Mapping[str, SafeString | str]) -> Callable[[Feature], SafeString | str]:
    @admin.display(description=title)
    def cell(feature: Feature) -> SafeString | str:
        return known.get(feature.name, "—")

    return cell


def _url(name: str, feature: Feature) -> str:
    return reverse(f"admin:lockstep_core_feature_{name}", args=[quote(feature.pk)])
