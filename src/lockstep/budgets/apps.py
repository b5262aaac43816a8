from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class BudgetsConfig(AppConfig):
    name = "lockstep.budgets"
    label = "lockstep_budgets"
    verbose_name = "Lockstep budgets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.budgets import jobs, subjects
        from lockstep.budgets.checks import check_budgets
        from lockstep.core.ports import topics

        register(check_budgets, "lockstep", Tags.database)
        jobs.register()
        subjects.register()
        topics.register("budgets.soft", "a budget is nearly spent")
        topics.register("budgets.hard", "a budget is spent, and calls are refused")
        topics.register("budgets.overrun", "a provider billed more than the bound of a call")
