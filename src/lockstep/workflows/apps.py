from __future__ import annotations

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "lockstep.workflows"
    label = "lockstep_workflows"
    verbose_name = "Lockstep workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.workflows import keeping, workers

        keeping.register()
        workers.connect()
