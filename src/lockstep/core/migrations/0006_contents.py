from django.db import migrations

from lockstep.core.sql import contents


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(contents.NULL, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(contents.DROP, params=None)


class Migration(migrations.Migration):
    """A socket for whoever keeps what was said in a call."""

    dependencies = [("lockstep_core", "0005_retention")]

    operations = [migrations.RunPython(create, drop)]
