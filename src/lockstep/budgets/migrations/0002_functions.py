from django.db import migrations

from lockstep.budgets.sql import CREATE, DROP
from lockstep.llm.sql.hooks import RESERVE_NULL, SETTLE_NULL


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in CREATE:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (RESERVE_NULL, SETTLE_NULL, *DROP):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """From here on the door asks the budgets first."""

    dependencies = [
        ("lockstep_core", "0003_notices"),
        ("lockstep_llm", "0002_calls"),
        ("lockstep_budgets", "0001_tables"),
    ]

    operations = [migrations.RunPython(create, drop)]
