"""Budgets in the admin: a bar for each, its history, and the limit that the next call obeys."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.budgets.bars import bar
from lockstep.budgets.models import Alert, Budget, Overrun
from lockstep.budgets.reports import Standing, history, standings
from lockstep.core.models import Feature
from lockstep.core.pills import Tone, pill
from lockstep.core.pseudonyms import pseudonym
from lockstep.llm.conf import settings

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    BudgetModelForm = forms.ModelForm[Budget]
else:
    AnyModelAdmin = admin.ModelAdmin
    BudgetModelForm = forms.ModelForm

__all__ = ["AlertAdmin", "BudgetAdmin", "OverrunAdmin"]

COUNTED = ["feature", "per", "who", "period", "time_zone", "unit"]
"""What a budget counts, which is never changed."""
TONES: dict[str, Tone] = {"ok": "good", "near": "warn", "spent": "bad", "off": ""}


class BudgetForm(BudgetModelForm):
    """The limit as people write it: pounds, not millionths."""

    feature = forms.ChoiceField(required=False)
    limit = forms.DecimalField(
        min_value=0,
        max_digits=16,
        decimal_places=6,
        help_text="In the ledger's currency, or in tokens. 0 stops every call. The very next call obeys.",
    )
    user = forms.CharField(
        required=False,
        max_length=100,
        help_text="Primary key of one user, for a budget for a user. A pseudonym of it is kept.",
    )

    class Meta:
        model = Budget
        fields = ["feature", "per", "who", "period", "time_zone", "unit", "soft_percent", "bound", "active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "feature" in self.fields:
            names = Feature.objects.order_by("name").values_list("name", flat=True)
            self.fields["feature"].choices = [("", "all features together"), *((n, n) for n in names)]  # type: ignore[attr-defined]
        if self.instance.pk:
            self.fields.pop("user", None)
            self.fields["limit"].initial = _units(self.instance)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        unit = given.get("unit", self.instance.unit)
        limit = given.get("limit")
        if limit is not None:
            if unit == Budget.Unit.TOKENS and limit != int(limit):
                self.add_error("limit", "Tokens are whole.")
            self.instance.cap = int(limit if unit == Budget.Unit.TOKENS else limit * 1_000_000)
        if given.get("user"):
            if given.get("per") != Budget.Per.USER:
                self.add_error("user", "Choose 'user' above, or leave this empty.")
                return given
            given["who"] = pseudonym(given["user"])
        if not self.instance.pk:
            self.instance.currency = settings().currency if unit == Budget.Unit.MONEY else ""
        return given


class _Ours(AnyModelAdmin):
    actions = None
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "lockstep/budgets/list.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/budgets/budgets.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(settings().database)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the history stays; a budget is switched off


@admin.register(Budget)
class BudgetAdmin(_Ours):
    form = BudgetForm
    list_filter = ["active", "unit", "period", "per"]
    search_fields = ["feature", "who"]
    change_form_template = "lockstep/budgets/budget.html"

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        known: dict[int, Standing] = {}

        def standing(budget: Budget) -> Standing:
            if not known:
                known.update({one.budget.pk: one for one in standings(self.get_queryset(request))})
            return known[budget.pk]

        return ["named", *_columns(standing)]

    @admin.display(description="Budget", ordering="feature")
    def named(self, budget: Budget) -> SafeString:
        return format_html(
            '{}<br><span class="quiet">{}</span>', budget.feature or "all features", _scope(budget)
        )

    def get_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[Any]:
        named = ["feature", "per", "who", "user"] if obj is None else ["feature", "per", "who"]
        return [*named, "period", "time_zone", "unit", "limit", "soft_percent", "bound", "active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[str]:
        return COUNTED if obj else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        budget = self.get_object(request, object_id)
        past = history(budget) if budget and self.has_view_permission(request, budget) else []
        rows = [(one, bar(one), one.budget.text(one.spent), f"{one.percent:.0f} %") for one in past]
        context = {**(extra_context or {}), "history": rows, "each": budget and budget.per != "all"}
        return super().change_view(request, object_id, form_url, context)


@admin.register(Alert)
class AlertAdmin(_Ours):
    list_display = ["at", "kind", "about", "spent_then", "resolved_at"]
    list_filter = ["level", "at"]
    list_select_related = ["period__budget"]
    list_display_links = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Alert", ordering="level")
    def kind(self, alert: Alert) -> SafeString:
        return pill(alert.get_level_display(), "bad" if alert.level == Alert.Level.HARD else "warn")

    @admin.display(description="Budget")
    def about(self, alert: Alert) -> SafeString:
        return _to(alert.period.budget)

    @admin.display(description="Spent, of")
    def spent_then(self, alert: Alert) -> str:
        budget = alert.period.budget
        return f"{budget.text(alert.spent)} of {budget.text(alert.cap)}"


@admin.register(Overrun)
class OverrunAdmin(_Ours):
    list_display = ["at", "about", "over", "to_call"]
    list_filter = ["at"]
    list_select_related = ["period__budget"]
    list_display_links = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Budget")
    def about(self, overrun: Overrun) -> SafeString:
        return _to(overrun.period.budget)

    @admin.display(description="Billed, instead of at most")
    def over(self, overrun: Overrun) -> str:
        budget = overrun.period.budget
        return f"{budget.text(overrun.actual)} instead of {budget.text(overrun.bound)}"

    @admin.display(description="Call")
    def to_call(self, overrun: Overrun) -> SafeString:
        url = reverse("admin:lockstep_llm_call_change", args=[overrun.call])
        return format_html('<a href="{}">{}</a>', url, overrun.call)


def _columns(standing: Callable[[Budget], Standing]) -> list[Any]:
    @admin.display(description="Spent")
    def spent(budget: Budget) -> SafeString:
        one = standing(budget)
        text = f"{budget.text(one.spent)} of {budget.cap_text()} ({one.percent:.0f}\u00a0%)"
        return format_html('{}<span class="quiet">{}</span>', bar(one), text)

    @admin.display(description="Held")
    def held(budget: Budget) -> str:
        return budget.text(standing(budget).reserved) if standing(budget).reserved else "—"

    @admin.display(description="State")
    def state(budget: Budget) -> SafeString:
        one = standing(budget)
        return pill(one.state, TONES[one.state])

    @admin.display(description="Begins anew")
    def resets(budget: Budget) -> str:
        ends = standing(budget).ends_at
        return f"{timezone.localtime(ends):%d %b, %H:%M}" if ends else "—"

    return [spent, held, state, resets]


def _scope(budget: Budget) -> str:
    whose = "" if budget.per == Budget.Per.ALL else f" for {budget.who or 'each ' + budget.per}"
    return f"{budget.cap_text()} a {budget.period}{whose}"


def _to(budget: Budget) -> SafeString:
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:lockstep_budgets_budget_change", args=[budget.pk]), budget
    )


def _units(budget: Budget) -> Decimal:
    return Decimal(budget.cap) / (1 if budget.unit == Budget.Unit.TOKENS else 1_000_000)
