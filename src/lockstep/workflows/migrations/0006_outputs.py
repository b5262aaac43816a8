from django.db import migrations, models

from lockstep.workflows.sql.transitions import CREATE, NO_READS, READS


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*CREATE, *READS):
            schema_editor.execute(
                statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), params=None
            )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in NO_READS:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """What tasks wrote stands with the state that came of it, once."""

    dependencies = [("lockstep_workflows", "0005_replay")]

    operations = [
        migrations.AddField(
            "checkpoint",
            "outputs",
            models.JSONField(
                null=True,
                help_text="What tasks of its parent wrote, if it was committed with them: task -> [path, place -> [channel,"
                " value]]; without a value it is that of the state.",
            ),
        ),
        migrations.AddIndex(
            "checkpoint",
            models.Index(fields=["thread", "ns", "parent_id"], name="lockstep_workflows_cp_next"),
        ),
        migrations.RunPython(create, drop),
    ]
