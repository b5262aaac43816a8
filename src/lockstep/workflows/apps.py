from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class WorkflowsConfig(AppConfig):
    name = "lockstep.workflows"
    label = "lockstep_workflows"
    verbose_name = "Lockstep workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core.ports import replay, topics
        from lockstep.workflows import checks, keeping, workers
        from lockstep.workflows.replays.notes import notes

        for check in (checks.check_database, checks.check_types, checks.check_times, checks.check_langgraph):
            register(check, "lockstep")
        keeping.register()
        replay.register(notes)
        topics.register("workflows.dead", "a run was given up: its workers died over it")
        topics.register("workflows.blocked", "a run cannot go on with this deploy")
        workers.connect()
        topics.register("workflows.review", "a run waits for a review")
        topics.register("workflows.input", "a run waits for an answer that its graph asks for")
