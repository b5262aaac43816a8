from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class BudgetsConfig(AppConfig):
    name = "lockstep.budgets"
    label = "lockstep_budgets"
    verbose_name = "Lockstep budgets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.budgets.checks import check_budgets

        register(check_budgets, "lockstep", Tags.database)
