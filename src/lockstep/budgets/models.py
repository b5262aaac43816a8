"""Budgets, what each period of them has spent and holds, and what people were told of it.

The counters are kept by the functions in ``sql/``; they are a cache of the ledger, and ``drift`` says whether it is
true.
"""

from __future__ import annotations

import zoneinfo
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

__all__ = ["Alert", "Budget", "BudgetPeriod", "Estimate", "Hold", "Overrun"]

MOST = 10**15
"""Largest limit: a billion of the currency, or as many tokens."""


def check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValidationError(f"{name!r} is no time zone: write it like Europe/London.") from error


class Budget(models.Model):
    """So much may be spent in a day or a month. The very next call obeys a change."""

    class Per(models.TextChoices):
        ALL = "all", "all calls together"
        COHORT = "cohort", "cohort"
        TENANT = "tenant", "tenant"
        USER = "user", "user"

    class Period(models.TextChoices):
        DAY = "day", "day"
        MONTH = "month", "month"

    class Unit(models.TextChoices):
        MONEY = "money", "money"
        TOKENS = "tokens", "tokens"

    class Bound(models.TextChoices):
        STRICT = "strict", "strict: what a call may cost at most is held"
        ESTIMATED = "estimated", "estimated: what 99 of 100 calls cost is held"

    feature = models.CharField(max_length=100, blank=True, help_text="Empty: all features together.")
    per = models.CharField("for", max_length=10, choices=Per, default=Per.ALL)
    who = models.CharField(
        "which", max_length=100, blank=True, help_text="Empty: each cohort, tenant or user has this budget."
    )
    period = models.CharField(max_length=5, choices=Period, default=Period.MONTH)
    time_zone = models.CharField(
        max_length=64, default="Europe/London", validators=[check_zone], help_text="Where its days begin."
    )
    unit = models.CharField(max_length=10, choices=Unit, default=Unit.MONEY)
    currency = models.CharField(max_length=3, blank=True, help_text="That of the ledger; empty for tokens.")
    cap = models.BigIntegerField(
        "limit",
        validators=[MinValueValidator(0), MaxValueValidator(MOST)],
        help_text="Millionths of the currency, or tokens. 0 stops every call.",
    )
    soft_percent = models.SmallIntegerField(
        "alert at",
        default=70,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Per cent of the limit at which people are told. At 100 calls are refused.",
    )
    bound = models.CharField(max_length=10, choices=Bound, default=Bound.STRICT)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["feature", "per", "who", "period"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(cap__range=(0, MOST)), name="lockstep_budgets_budget_cap"),
            models.CheckConstraint(
                condition=Q(soft_percent__range=(1, 100)), name="lockstep_budgets_budget_soft"
            ),
            models.CheckConstraint(
                condition=~Q(per="all") | Q(who=""),
                name="lockstep_budgets_budget_who",
                violation_error_message="A budget for all calls together names nobody: leave 'which' empty.",
            ),
            models.CheckConstraint(
                condition=Q(unit="money", currency__regex="^[A-Z]{3}$") | Q(unit="tokens", currency=""),
                name="lockstep_budgets_budget_currency",
            ),
            models.UniqueConstraint(
                fields=["feature", "per", "who", "period", "unit"],
                condition=Q(active=True),
                name="lockstep_budgets_budget_one",
                violation_error_message="There is an active budget for this already: change its limit.",
            ),
        ]

    def __str__(self) -> str:
        scope = "" if self.per == self.Per.ALL else f" for {self.who or 'each ' + self.per}"
        return f"{self.feature or 'all features'}{scope}: {self.cap_text()} a {self.period}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.unit == self.Unit.MONEY and not self.currency:
            from lockstep.llm.conf import settings

            self.currency = settings().currency
        super().save(*args, **kwargs)

    def cap_text(self) -> str:
        return self.text(self.cap)

    def text(self, amount: int) -> str:
        """An amount of this budget's unit, for people."""
        if self.unit == self.Unit.TOKENS:
            return f"{amount:,} tokens"
        return f"{amount / 1_000_000:,.2f} {self.currency}"


class BudgetPeriod(models.Model):
    """One day or month of a budget, for one subject of it."""

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="periods")
    who = models.CharField(max_length=100, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    spent = models.BigIntegerField(default=0, help_text="Of calls that came back and were counted.")
    reserved = models.BigIntegerField(default=0, help_text="Held for calls that are not counted yet.")
    folded_at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-starts_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["budget", "who", "starts_at"], name="lockstep_budgets_period_one"
            ),
            models.CheckConstraint(
                condition=Q(spent__gte=0, reserved__gte=0), name="lockstep_budgets_period_counts"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="lockstep_budgets_period_span"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts_at:%Y-%m-%d}"


class Hold(models.Model):
    """What a call under way may still spend of a period; what it did spend, until that is folded in."""

    pk = models.CompositePrimaryKey("call", "period_id")
    call = models.UUIDField()
    period = models.ForeignKey(BudgetPeriod, models.DO_NOTHING, db_constraint=False, db_index=False)
    held = models.BigIntegerField(help_text="Part of the period's reserved.")
    actual = models.BigIntegerField(null=True)
    counted = models.BigIntegerField(default=0, help_text="Part of the period's spent.")
    final = models.BooleanField(default=False, help_text="False after a lapse: the call may still come back.")
    due = models.BooleanField(default=False, help_text="To be folded into the period.")

    class Meta:
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(fields=["period"], condition=Q(due=True), name="lockstep_budgets_hold_due")
        ]

    def __str__(self) -> str:
        return f"{self.held} for {self.call}"


class Alert(models.Model):
    """A threshold was crossed: at most one is open for a period and a level."""

    class Level(models.TextChoices):
        SOFT = "soft", "nearly spent"
        HARD = "hard", "spent"

    period = models.ForeignKey(BudgetPeriod, models.CASCADE, related_name="alerts")
    level = models.CharField(max_length=4, choices=Level)
    at = models.DateTimeField(db_default=Now())
    spent = models.BigIntegerField()
    cap = models.BigIntegerField("limit")
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["period", "level"],
                condition=Q(resolved_at=None),
                name="lockstep_budgets_alert_one",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()}: {self.period}"


class Overrun(models.Model):
    """A provider billed more than the stated bound of a call."""

    call = models.UUIDField()
    period = models.ForeignKey(BudgetPeriod, models.CASCADE, related_name="overruns")
    at = models.DateTimeField(db_default=Now())
    bound = models.BigIntegerField()
    actual = models.BigIntegerField()

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["call", "period"], name="lockstep_budgets_overrun_one")
        ]

    def __str__(self) -> str:
        return f"{self.call}: {self.actual} instead of {self.bound}"


class Estimate(models.Model):
    """What 99 of 100 calls of a feature spend of their bound."""

    feature = models.CharField(max_length=100)
    unit = models.CharField(max_length=10, choices=Budget.Unit)
    ratio = models.FloatField(help_text="At most 1.")
    calls = models.IntegerField(help_text="From so many calls.")
    measured_at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["feature", "unit"], name="lockstep_budgets_estimate_one")
        ]

    def __str__(self) -> str:
        return f"{self.feature}: {self.ratio:.3f}"
