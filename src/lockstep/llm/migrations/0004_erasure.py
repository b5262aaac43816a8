from django.db import migrations

from lockstep.llm.sql import calls


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(calls.WIDEN, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(calls.DROP_WIDEN, params=None)


class Migration(migrations.Migration):
    """A call under way goes on when its person is erased. The first version stays, for workers of before."""

    dependencies = [
        ("lockstep_llm", "0003_tallies"),
    ]

    operations = [migrations.RunPython(create, drop)]
