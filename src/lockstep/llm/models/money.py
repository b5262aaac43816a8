"""Prices and exchange rates: dated rows that only grow.

The database refuses every change and deletion; the one thing that may happen to a row is that it is closed. What a
call cost can therefore be worked out again at any time from the two ids that its ledger row keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

__all__ = ["ALWAYS", "Price", "PriceQuerySet", "Rate"]

#: Start of a price that held before anyone wrote down since when.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)

_MOST = Decimal(1_000_000)  # per million tokens: one unit of money a token


class PriceQuerySet(models.QuerySet["Price"]):
    def at(self, moment: datetime) -> PriceQuerySet:
        """Rows whose period covers ``moment``; the function picks one of them for a call."""
        return self.filter(Q(valid_to=None) | Q(valid_to__gt=moment), valid_from__lte=moment)

    def close(self, moment: datetime) -> int:
        """Let open rows end at ``moment``, or where they begin if that is later. Returns how many."""
        return self.filter(valid_to=None).update(valid_to=models.functions.Greatest(F("valid_from"), moment))


class Price(models.Model):
    """What one model costs from a moment on, in its own currency.

    Several rows with the same ``valid_from`` make one price list: tiers by the size of the input (the whole usage
    is charged at the tier that the input reaches) and hours of the day.
    """

    class Source(models.TextChoices):
        CONTRACT = "contract", "contract"
        TARIFF = "tariff", "own tariff"
        LIST = "list", "list price"

    provider = models.CharField(max_length=100, help_text="Alias of the provider in LOCKSTEP.")
    model = models.CharField(max_length=200, help_text="The name that prices are kept under.")
    source = models.CharField(
        max_length=10,
        choices=Source.choices,
        help_text="A contract goes before a tariff, that before a list.",
    )
    currency = models.CharField(max_length=3, help_text="ISO 4217: USD, GBP …")
    min_input_tokens = models.IntegerField(default=0, help_text="Tier: holds from so many input tokens.")
    input = models.DecimalField(max_digits=18, decimal_places=9, help_text="Per million tokens.")
    output = models.DecimalField(
        max_digits=18, decimal_places=9, help_text="Per million, reasoning included."
    )
    cache_read = models.DecimalField(
        max_digits=18, decimal_places=9, null=True, blank=True, help_text="Per million; empty: as input."
    )
    cache_write = models.DecimalField(
        max_digits=18, decimal_places=9, null=True, blank=True, help_text="Per million; empty: as input."
    )
    per_request = models.DecimalField(
        max_digits=18, decimal_places=9, default=Decimal(0), help_text="Fee of each call."
    )
    daily_from = models.TimeField(null=True, blank=True, help_text="Holds from this time of day (UTC).")
    daily_to = models.TimeField(null=True, blank=True, help_text="Holds until this time of day (UTC).")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True, help_text="Empty while the price is open.")
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PriceQuerySet.as_manager()

    class Meta:
        db_table = "lockstep_llm_price"
        ordering = ["provider", "model", "-valid_from", "min_input_tokens", "id"]
        indexes = [models.Index(fields=["provider", "model"], name="lockstep_llm_price_of")]
        constraints = [
            models.CheckConstraint(
                condition=Q(source__in=["contract", "tariff", "list"]), name="lockstep_llm_price_source"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex="^[A-Z]{3}$"), name="lockstep_llm_price_currency"
            ),
            models.CheckConstraint(
                condition=Q(input__range=(0, _MOST), output__range=(0, _MOST), per_request__range=(0, _MOST))
                & (Q(cache_read=None) | Q(cache_read__range=(0, _MOST)))
                & (Q(cache_write=None) | Q(cache_write__range=(0, _MOST)))
                & Q(min_input_tokens__gte=0),
                name="lockstep_llm_price_amounts",
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")),
                name="lockstep_llm_price_period",
            ),
            models.CheckConstraint(
                condition=Q(daily_from=None, daily_to=None)
                | Q(daily_from__isnull=False, daily_to__isnull=False),
                name="lockstep_llm_price_hours",
            ),
        ]

    def __str__(self) -> str:
        amounts = f"{self.input.normalize():f} in, {self.output.normalize():f} out"
        return f"{self.provider}:{self.model} {self.currency} {amounts} ({self.source})"


class Rate(models.Model):
    """So many units of ``quote`` for one of ``base``, from a day (UTC) until the next row's."""

    base = models.CharField(max_length=3, help_text="Currency of the price: USD.")
    quote = models.CharField(max_length=3, help_text="Currency of the ledger: GBP.")
    rate = models.DecimalField(max_digits=18, decimal_places=9)
    on_date = models.DateField()
    source = models.CharField(max_length=200, help_text="Who published it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "lockstep_llm_rate"
        ordering = ["base", "quote", "-on_date", "-id"]
        indexes = [models.Index(fields=["base", "quote", "-on_date", "-id"], name="lockstep_llm_rate_of")]
        constraints = [
            models.CheckConstraint(
                condition=Q(base__regex="^[A-Z]{3}$") & Q(quote__regex="^[A-Z]{3}$") & ~Q(base=F("quote")),
                name="lockstep_llm_rate_currencies",
            ),
            models.CheckConstraint(
                condition=Q(rate__gt=0, rate__lt=Decimal(1_000_000_000)), name="lockstep_llm_rate_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"1 {self.base} = {self.rate.normalize():f} {self.quote} on {self.on_date}"
