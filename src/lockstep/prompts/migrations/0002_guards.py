from django.db import migrations

from lockstep.prompts.sql import releases, versions


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*versions.CREATE, *releases.CREATE):
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*releases.DROP, *versions.DROP):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """Append-only tables, addresses that the database recomputes, releases that it admits."""

    dependencies = [("lockstep_prompts", "0001_tables")]

    operations = [migrations.RunPython(create, drop)]
