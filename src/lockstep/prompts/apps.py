from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db import connections
from django.db.models.signals import post_migrate


class PromptsConfig(AppConfig):
    name = "lockstep.prompts"
    label = "lockstep_prompts"
    verbose_name = "Lockstep prompts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core import ports
        from lockstep.llm.hooks import prompting
        from lockstep.prompts import checks
        from lockstep.prompts.port import bodies, versions

        register(checks.check_files, "lockstep", Tags.files)
        register(checks.check_drift, "lockstep", Tags.database)
        prompting.register(versions)
        ports.prompts.register(bodies)
        post_migrate.connect(guard_truncate, sender=self, dispatch_uid="lockstep_prompts.truncate")


def guard_truncate(*, using: str, **_: Any) -> None:
    """Refuse TRUNCATE too, except in a database that a test runner made: its flush truncates every table."""
    from lockstep.core.testruns import made_by_test_runner
    from lockstep.prompts.sql.versions import TABLES, TRUNCATE_GUARDS

    connection = connections[using]
    if connection.vendor != "postgresql" or made_by_test_runner(connection):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name", [list(TABLES)]
        )
        if cursor.fetchone()[0]:
            for statement in TRUNCATE_GUARDS:
                cursor.execute(statement)
