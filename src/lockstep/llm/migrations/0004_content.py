from django.db import migrations

from lockstep.llm.sql import calls


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*calls.DROP_END, calls.CREATE_END):
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in calls.DROP_END:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """A call is settled and what was said in it is kept, in one step."""

    dependencies = [("lockstep_llm", "0003_tallies"), ("lockstep_core", "0006_contents")]

    operations = [migrations.RunPython(create, drop)]
