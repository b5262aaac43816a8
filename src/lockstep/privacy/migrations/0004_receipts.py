import uuid

import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.core.retention import sql

TABLE = "lockstep_privacy_receipt"


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(sql.RECORD.format(table=TABLE), params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(sql.DROP_RECORD.format(table=TABLE), params=None)


class Migration(migrations.Migration):
    """What was erased and exported, for whom: rows are added, and stay as they were written."""

    dependencies = [("lockstep_core", "0006_contents"), ("lockstep_privacy", "0003_reveal")]

    operations = [
        migrations.CreateModel(
            name="Receipt",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "kind",
                    models.CharField(choices=[("erasure", "erased"), ("export", "exported")], max_length=10),
                ),
                (
                    "subject",
                    models.CharField(
                        help_text="Pseudonym of the person.", max_length=64, verbose_name="person"
                    ),
                ),
                ("actor", models.CharField(help_text="Who did it.", max_length=200)),
                ("reason", models.CharField(blank=True, max_length=1000)),
                (
                    "counts",
                    models.JSONField(
                        default=dict,
                        help_text="Table -> erased, blanked, held or exported -> how many rows.",
                    ),
                ),
                (
                    "beyond",
                    models.JSONField(
                        default=list,
                        help_text="What it could not reach, in sentences.",
                        verbose_name="not reached",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "required_db_vendor": "postgresql",
                "indexes": [models.Index(fields=["subject"], name="lockstep_privacy_receipt_of")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("actor", ""), _negated=True)
                        & models.Q(("subject", ""), _negated=True),
                        name="lockstep_privacy_receipt_by_someone",
                    )
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
