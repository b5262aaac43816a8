"""Prices and exchange rates in the admin: rows to read, and a form that adds one. Nothing is edited."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.pills import pill
from lockstep.llm.conf import settings
from lockstep.llm.models import Price, Rate
from lockstep.llm.money.entry import set_price, set_rate
from lockstep.llm.money.exceptions import PriceError

if TYPE_CHECKING:
    MoneyModelAdmin = admin.ModelAdmin[Any]
else:
    MoneyModelAdmin = admin.ModelAdmin

__all__ = ["PriceAdmin", "RateAdmin"]


class PriceForm(forms.Form):
    provider = forms.CharField(max_length=100, help_text="Alias of the provider in LOCKSTEP.")
    model = forms.CharField(max_length=200, help_text="As it is asked for: gpt-5-mini.")
    source = forms.ChoiceField(
        choices=[(source.value, source.label) for source in (Price.Source.CONTRACT, Price.Source.TARIFF)],
        help_text="A contract goes before an own tariff, that before the list price.",
    )
    currency = forms.CharField(max_length=3, help_text="Of the amounts: USD, GBP …")
    input = forms.DecimalField(max_digits=18, decimal_places=9, min_value=0, help_text="Per million tokens.")
    output = forms.DecimalField(
        max_digits=18, decimal_places=9, min_value=0, help_text="Per million tokens, reasoning included."
    )
    cache_read = forms.DecimalField(
        max_digits=18,
        decimal_places=9,
        min_value=0,
        required=False,
        help_text="Per million; empty: as input.",
    )
    cache_write = forms.DecimalField(
        max_digits=18,
        decimal_places=9,
        min_value=0,
        required=False,
        help_text="Per million; empty: as input.",
    )
    per_request = forms.DecimalField(
        max_digits=18,
        decimal_places=9,
        min_value=0,
        required=False,
        help_text="Fee of each call; empty: none.",
    )
    min_input_tokens = forms.IntegerField(
        min_value=0,
        max_value=2_000_000_000,
        required=False,
        help_text="Tier: holds from so many input tokens.",
    )
    since = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Empty: from now on. What is settled already keeps its price.",
    )
    note = forms.CharField(
        max_length=500, required=False, help_text="Where it stands: contract, invoice, offer."
    )


class RateForm(forms.Form):
    base = forms.CharField(max_length=3, help_text="Currency of prices: USD.")
    quote = forms.CharField(max_length=3, help_text="Currency of the ledger.")
    rate = forms.DecimalField(
        max_digits=18, decimal_places=9, help_text="So many of the ledger's currency for one of the price's."
    )
    on = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Holds from that day (UTC) until a newer one.",
    )
    source = forms.CharField(max_length=200, help_text="Who published it.")


class HoldsFilter(admin.SimpleListFilter):
    title, parameter_name = "valid", "holds"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [
            ("now", "holds now"),
            ("covered", "open, but another goes before"),
            ("over", "over"),
            ("later", "later"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        begun, open_ = Q(valid_from__lte=Now()), Q(valid_to=None) | Q(valid_to__gt=Now())
        conditions = {
            "now": Q(holding=F("pk")),
            "covered": begun & open_ & (~Q(holding=F("pk")) | Q(holding=None)),
            "over": Q(valid_to__lte=Now()),
            "later": Q(valid_from__gt=Now()),
        }
        wanted = conditions.get(self.value() or "")
        return queryset.filter(wanted) if wanted is not None else queryset


class _InsertOnly(MoneyModelAdmin):
    """Rows are added by a function that checks them, and never changed or deleted."""

    form_class: ClassVar[type[forms.Form]]
    explained: ClassVar[str]
    actions = None
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "lockstep/llm/money.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/llm/llm.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(settings().database)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.form_class(request.POST or None, initial=self.suggested())
        if request.method == "POST" and form.is_valid():
            try:
                made = self.make(form.cleaned_data)
            except PriceError as error:
                form.add_error(None, str(error))
            else:
                self.log_addition(request, made, f"Added: {made}")
                messages.success(request, f"Recorded: {made}.")
                return HttpResponseRedirect(reverse(f"admin:lockstep_llm_{self.opts.model_name}_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Add {self.opts.verbose_name}",
            "form": form,
            "explained": self.explained,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "lockstep/llm/add_money.html", context)

    def suggested(self) -> dict[str, Any]:
        raise NotImplementedError

    def make(self, values: dict[str, Any]) -> Any:
        raise NotImplementedError


@admin.register(Price)
class PriceAdmin(_InsertOnly):
    list_display = [
        "named",
        "holds",
        "source",
        "currency",
        "per_input",
        "per_output",
        "cached",
        "valid",
    ]
    list_filter = [HoldsFilter, "source", "provider", "currency"]
    search_fields = ["model", "note"]
    form_class = PriceForm
    explained = (
        "A price is added, never changed: the row that it replaces is closed where this one begins, and calls that "
        "were settled keep the row they were charged with."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        holding = Func(
            F("provider"), F("model"), Now(), F("min_input_tokens"),
            function="lockstep_llm_price_v1", output_field=Price._meta.pk,
        )  # fmt: skip
        rows: QuerySet[Price] = super().get_queryset(request).annotate(holding=holding)
        return rows

    def suggested(self) -> dict[str, Any]:
        return {"currency": settings().currency, "source": Price.Source.CONTRACT}

    def make(self, values: dict[str, Any]) -> Price:
        kept = {name: value for name, value in values.items() if value not in (None, "")}
        if "since" in kept and timezone.is_naive(kept["since"]):
            kept["since"] = kept["since"].replace(tzinfo=timezone.get_current_timezone())
        return set_price(kept.pop("provider"), kept.pop("model"), **kept, using=settings().database)

    @admin.display(description="Model", ordering="model")
    def named(self, price: Price) -> SafeString:
        parts = [price.provider]
        if price.min_input_tokens:
            parts.append(f"from {price.min_input_tokens:,} tokens in")
        if price.daily_from and price.daily_to:
            parts.append(f"{price.daily_from:%H:%M} to {price.daily_to:%H:%M} UTC")
        return format_html('{}<br><span class="quiet">{}</span>', price.model, ", ".join(parts))

    @admin.display(description="Now")
    def holds(self, price: Any) -> SafeString | str:
        if price.holding == price.pk:
            return pill("holds now", "good")
        now = timezone.now()
        if price.valid_to and price.valid_to <= now:
            return "over"
        return "later" if price.valid_from > now else "another goes before"

    @admin.display(description="Input / M", ordering="input")
    def per_input(self, price: Price) -> str:
        return _digits(price.input)

    @admin.display(description="Output / M", ordering="output")
    def per_output(self, price: Price) -> str:
        return _digits(price.output)

    @admin.display(description="Cache / M")
    def cached(self, price: Price) -> SafeString | str:
        if price.cache_read is None and price.cache_write is None:
            return "as input"
        read, write = _digits(price.cache_read), _digits(price.cache_write)
        return format_html(
            '<span class="nowrap">{} read</span><br><span class="nowrap">{} write</span>', read, write
        )

    @admin.display(description="Valid", ordering="valid_from")
    def valid(self, price: Price) -> SafeString:
        since = "always" if price.valid_from.year <= 1970 else f"from {_moment(price.valid_from)}"
        until = f"until {_moment(price.valid_to)}" if price.valid_to else ""
        return format_html('<span class="nowrap">{}</span><br><span class="nowrap">{}</span>', since, until)


@admin.register(Rate)
class RateAdmin(_InsertOnly):
    list_display = ["pair", "holds", "per_unit", "on_date", "source"]
    list_filter = ["base", "quote"]
    search_fields = ["source"]
    form_class = RateForm
    explained = "A rate is added, never changed: of one day the row that came last counts, from then on."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rate]:
        holding = Func(
            F("base"), F("quote"), Now(), function="lockstep_llm_rate_v1", output_field=Rate._meta.pk
        )
        rows: QuerySet[Rate] = super().get_queryset(request).annotate(holding=holding)
        return rows

    def suggested(self) -> dict[str, Any]:
        base = "EUR" if settings().currency == "USD" else "USD"
        return {"base": base, "quote": settings().currency}

    def make(self, values: dict[str, Any]) -> Rate:
        return set_rate(
            values["base"], values["quote"], values["rate"], on=values["on"], source=values["source"],
            using=settings().database,
        )  # fmt: skip

    @admin.display(description="Rate", ordering="base")
    def pair(self, rate: Rate) -> str:
        return f"{rate.base} → {rate.quote}"

    @admin.display(description="Now")
    def holds(self, rate: Any) -> SafeString | str:
        return pill("holds now", "good") if rate.holding == rate.pk else "—"

    @admin.display(description="For one", ordering="rate")
    def per_unit(self, rate: Rate) -> str:
        return _digits(rate.rate)


def _digits(value: Decimal | None) -> str:
    """At least two decimals, no idle zeros: 0.25, 2.00, 0.0375."""
    if value is None:
        return "as input"
    plain = value.normalize()
    return f"{plain:,.2f}" if -plain.as_tuple().exponent <= 2 else f"{plain:,f}"  # type: ignore[operator]


def _moment(moment: datetime) -> str:
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return f"{local:%-d %b %Y}" if local.time() == time.min else f"{local:%-d %b %Y %H:%M}"
