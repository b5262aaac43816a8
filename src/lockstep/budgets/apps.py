from __future__ import annotations

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "lockstep.budgets"
    label = "lockstep_budgets"
    verbose_name = "Lockstep budgets"
    default_auto_field = "django.db.models.BigAutoField"
