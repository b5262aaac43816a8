from django.db import migrations

from lockstep.workflows.sql import CREATE, DROP


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in CREATE:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in DROP:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """From here on a run has one owner at most."""

    dependencies = [("lockstep_workflows", "0001_tables")]

    operations = [migrations.RunPython(create, drop)]
