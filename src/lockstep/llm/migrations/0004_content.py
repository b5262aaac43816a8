from django.db import migrations

from lockstep.llm.sql import calls


def renew(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*calls.DROP, *calls.CREATE):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """A call is settled and what was said in it is kept, in one step; it goes on when its person is erased."""

    dependencies = [("lockstep_llm", "0003_tallies"), ("lockstep_core", "0006_contents")]

    operations = [migrations.RunPython(renew, migrations.RunPython.noop)]
