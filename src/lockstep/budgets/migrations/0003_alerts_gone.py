from django.db import migrations

from lockstep.budgets.sql import alerts


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in alerts.GONE:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in alerts.DROP_GONE:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """An alert that is deleted while its incident is open closes it."""

    dependencies = [("lockstep_budgets", "0002_functions")]

    operations = [migrations.RunPython(create, drop)]
