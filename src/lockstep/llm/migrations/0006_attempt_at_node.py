from django.db import migrations, models

from lockstep.llm.sql import calls


def renew(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*calls.DROP, *calls.CREATE):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """A node that is tried again calls again: which of its attempts made which call."""

    dependencies = [("lockstep_llm", "0005_fewer_entries")]

    operations = [
        migrations.AddField(
            "call",
            "node_attempt",
            models.CharField(
                max_length=20,
                blank=True,
                db_default="",
                help_text="At the node: the run's owner, counted, and its try, as in 2.1.",
            ),
        ),
        migrations.RunPython(renew, migrations.RunPython.noop),
    ]
