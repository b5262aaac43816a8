from django.db import migrations

from lockstep.budgets.sql import CREATE, DROP


def renew(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*DROP, *CREATE):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """What a call holds is what its row says; a reservation waits while its person is erased; an alert that goes with
    its period closes its incident."""

    dependencies = [("lockstep_budgets", "0002_functions"), ("lockstep_llm", "0004_content")]

    operations = [migrations.RunPython(renew, migrations.RunPython.noop)]
