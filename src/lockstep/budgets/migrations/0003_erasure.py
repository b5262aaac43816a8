from django.db import migrations

from lockstep.budgets.sql import alerts, reserve


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*alerts.GONE, reserve.RESERVE):
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in alerts.DROP_GONE:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """A reservation waits while its person is erased; an alert that is deleted with its period closes its incident."""

    dependencies = [("lockstep_budgets", "0002_functions")]

    operations = [migrations.RunPython(create, drop)]
