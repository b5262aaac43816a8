"""Retention in the admin: evidence that it holds, and legal holds with who and why."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from lockstep.core.moments import shown
from lockstep.core.retention.evidence import days, size, unbound_role
from lockstep.core.retention.holds import HoldError, hold, release
from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge
from lockstep.core.retention.policies import expiring, is_installed
from lockstep.core.retention.report import TableReport, as_data, as_rows, model_of_table, reports

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin

__all__ = ["EvidenceAdmin", "LegalHoldAdmin", "PurgeAdmin"]

SHOWN = 10
"""Purges that the page of evidence shows of a table; the list has all of them."""


class _Ours(AnyModelAdmin):
    """What is read here and never edited."""

    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the records stay as they were written

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(_database())

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/core/{name}.html", common | context)


@admin.register(ExpiringTable)
class EvidenceAdmin(_Ours):
    """One page in the place of the list: what expires, and that it does."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        using = _database()
        if request.GET.get("format") == "json":
            found = as_data(using) if is_installed(using) else {"tables": []}
            answer: HttpResponse = JsonResponse(found, json_dumps_params={"indent": 2})
            return _named(answer, "json")
        if request.GET.get("format") == "csv":
            answer = HttpResponse(content_type="text/csv; charset=utf-8")
            csv.writer(answer).writerows(as_rows(using) if is_installed(using) else [])
            return _named(answer, "csv")
        return self._page(request, "evidence", "Evidence of retention", **self._shown(request, using))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A table stands on the page of all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        url = reverse("admin:lockstep_core_expiringtable_changelist")
        return HttpResponseRedirect(f"{url}#{object_id}")

    def _shown(self, request: HttpRequest, using: str) -> dict[str, Any]:
        found = list(reports(using))
        return {
            "tables": [(one, _state(one), _words(one), one.purges(using)[:SHOWN]) for one in found],
            "unbound": unbound_role(using) if found else "",
            "made_at": timezone.now(),
            "may_see_holds": request.user.has_perm("lockstep_core.view_legalhold"),
            "may_see_purges": request.user.has_perm("lockstep_core.view_purge"),
        }


@admin.register(Purge)
class PurgeAdmin(_Ours):
    list_display = ["at", "table_name", "day", "gone", "held", "disk", "by"]
    list_display_links = None
    list_filter = ["table_name"]
    list_per_page = 100
    change_list_template = "lockstep/core/records.html"

    @admin.display(description="Rows gone", ordering="rows")
    def gone(self, purge: Purge) -> str:
        return f"{purge.rows:,}"

    @admin.display(description="Disk", ordering="size_bytes")
    def disk(self, purge: Purge) -> str:
        return size(purge.size_bytes)


class InForceFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("released", "released")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LegalHold]) -> QuerySet[LegalHold]:
        if self.value() == "in-force":
            return queryset.filter(released_at=None)
        if self.value() == "released":
            return queryset.exclude(released_at=None)
        return queryset


WIDE = forms.TextInput(attrs={"class": "vTextField"})


class HoldForm(forms.Form):
    table = forms.ChoiceField(
        required=False, help_text="A row has its table; a person may be in all of them."
    )
    key = forms.CharField(
        required=False,
        max_length=200,
        label="Key of a row",
        widget=WIDE,
        help_text="The whole key: the id of a call, for one.",
    )
    subject = forms.CharField(
        required=False,
        max_length=200,
        label="Or key of a person",
        widget=WIDE,
        help_text="As the tables have it: the pseudonym that the page of a call shows.",
    )
    reason = forms.CharField(
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A case number, for one. Stays on record, with your name.",
    )

    def __init__(self, *args: Any, tables: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "every table that expires"), *((name, name) for name in tables)]
        self.fields["table"].choices = choices  # type: ignore[attr-defined]


class ReleaseForm(forms.Form):
    reason = forms.CharField(
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Stays on record, with your name.",
    )


@admin.register(LegalHold)
class LegalHoldAdmin(_Ours):
    """Who may add holds places them, who may change them releases them; nobody edits or deletes one."""

    list_display = ["state", "what", "why", "placed"]
    list_display_links = ["state"]
    list_filter = [InForceFilter]
    search_fields = ["=key", "=subject", "reason"]
    list_per_page = 50
    change_list_template = "lockstep/core/records.html"

    # --- the list ---------------------------------------------------------------------------------

    @admin.display(description="State", ordering="released_at")
    def state(self, one: LegalHold) -> SafeString:
        return _hold_state(one)

    @admin.display(description="What", ordering="table_name")
    def what(self, one: LegalHold) -> SafeString:
        held = '{}<br><span class="quiet">{}</span>'
        return format_html(held, _truncated(_held(one), 60), one.table_name or "every table that expires")

    @admin.display(description="Why", ordering="reason")
    def why(self, one: LegalHold) -> str:
        return _truncated(one.reason, 120)

    @admin.display(description="Placed", ordering="at")
    def placed(self, one: LegalHold) -> SafeString:
        day = shown(one.at)
        return format_html(
            '<span class="nowrap">{}</span><br><span class="quiet">{}</span>', day, _truncated(one.actor, 40)
        )

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("lockstep_core.add_legalhold")

    def may_release(self, request: HttpRequest, one: LegalHold) -> bool:
        return one.released_at is None and request.user.has_perm("lockstep_core.change_legalhold")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(request.user.has_perm(f"lockstep_core.{verb}_legalhold") for verb in ("view", "change"))

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.release_view)
        return [
            path("<path:object_id>/release/", view, name="lockstep_core_legalhold_release"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Place a hold, as ``lockstep_retention hold`` does."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        using = _database()
        form = HoldForm(request.POST or None, tables=list(expiring(using)))
        if request.method == "POST" and form.is_valid() and (made := self._place(request, form, using)):
            messages.success(request, f"The hold on {_held(made)} is in force.")
            return HttpResponseRedirect(self._home(request, made))
        return self._page(request, "hold_form", "Place a legal hold", form=form)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        one = self._hold(request, object_id)
        context = {"hold": one, "held": _held(one), "state": _hold_state(one)}
        return self._page(
            request, "hold", f"Legal hold {one.pk}", may_release=self.may_release(request, one), **context
        )

    def release_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it, with a reason."""
        one = self._hold(request, object_id)
        if not request.user.has_perm("lockstep_core.change_legalhold"):
            raise PermissionDenied
        form = ReleaseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._release(request, one, form.cleaned_data["reason"])
            return HttpResponseRedirect(self._home(request, one))
        return self._page(request, "release_hold", "Release", form=form, hold=one, held=_held(one))

    # --- parts ------------------------------------------------------------------------------------

    def _place(self, request: HttpRequest, form: HoldForm, using: str) -> LegalHold | None:
        given = form.cleaned_data
        model = model_of_table(given["table"]) if given["table"] else None
        if given["table"] and model is None:
            form.add_error("table", "No app has this table any more.")
            return None
        try:
            with transaction.atomic(using=using):
                made = hold(
                    actor=request.user.get_username(), reason=given["reason"], model=model, key=given["key"],
                    subject=given["subject"], using=using,
                )  # fmt: skip
                self.log_addition(request, made, f"Placed: {made.reason}")
        except HoldError as error:
            form.add_error(None, str(error))
            return None
        return made

    def _release(self, request: HttpRequest, one: LegalHold, reason: str) -> None:
        using = _database()
        try:
            with transaction.atomic(using=using):
                release(one.pk, actor=request.user.get_username(), reason=reason, using=using)
                self.log_change(request, one, f"Released: {reason}")
        except HoldError:
            messages.warning(request, "Somebody released it meanwhile.")
        else:
            messages.success(
                request, f"The hold on {_held(one)} is released: what has expired is hidden again."
            )

    def _hold(self, request: HttpRequest, object_id: str) -> LegalHold:
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = unquote(object_id)
        known = key.isdecimal() and len(key) < 19
        one = LegalHold.objects.using(_database()).filter(pk=int(key)).first() if known else None
        if one is None:
            raise Http404("There is no such hold.")
        return one

    def _home(self, request: HttpRequest, one: LegalHold) -> str:
        if self.has_view_permission(request):
            return reverse("admin:lockstep_core_legalhold_change", args=[one.pk])
        return reverse("admin:index")  # who may only place them


def _truncated(text: str, length: int) -> str:
    return Truncator(text).chars(length)


def _database() -> str:
    return router.db_for_write(ExpiringTable)


def _named(answer: HttpResponse, kind: str) -> HttpResponse:
    name = f"retention-{timezone.now():%Y-%m-%d-%H%M}.{kind}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _held(one: LegalHold) -> str:
    return f"the row {one.key}" if one.key else f"the person {one.subject}"


def _hold_state(one: LegalHold) -> SafeString:
    if one.released_at is None:
        return format_html('<span class="lockstep-pill lockstep-warn">{}</span>', "in force")
    return format_html('<span class="lockstep-pill">{}</span>', "released")


def _state(one: TableReport) -> list[SafeString]:
    """What an auditor wants to see first, in colour."""
    found = one.evidence
    leaks = found.expired_visible
    pills = [("bad" if leaks else "good", f"{leaks:,} expired and readable")]
    if found.unguarded:
        pills.append(("bad", f"{len(found.unguarded)} not guarded"))
    if found.is_late:
        pills.append(("warn", "nobody purges"))
    if found.holds:
        pills.append(("warn", f"{found.holds} legal hold{'' if found.holds == 1 else 's'}"))
    return [format_html('<span class="lockstep-pill lockstep-{}">{}</span>', *pill) for pill in pills]


def _words(one: TableReport) -> dict[str, str]:
    found, dropped = one.evidence, one.dropped
    return {
        "kept": f"{days(found.keep)} usually, {days(found.most)} at most",
        "disk": f"{found.partitions} partitions, {size(found.bytes_on_disk)}",
        "dropped": f"{dropped.days:,} day{'' if dropped.days == 1 else 's'}, {dropped.rows:,} rows,"
        f" {size(dropped.size_bytes)}",
    }
