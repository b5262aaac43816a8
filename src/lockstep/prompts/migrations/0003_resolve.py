from django.db import migrations

from lockstep.llm.sql.hooks import RESOLVE_NULL
from lockstep.prompts.sql.releases import RESOLVE


def replace(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(RESOLVE, params=None)


def put_back(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(RESOLVE_NULL, params=None)


class Migration(migrations.Migration):
    """From here on the door's first statement reads the release in force."""

    dependencies = [("lockstep_llm", "0002_calls"), ("lockstep_prompts", "0002_guards")]

    operations = [migrations.RunPython(replace, put_back)]
