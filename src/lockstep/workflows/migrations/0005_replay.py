from datetime import timedelta

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.core.retention.operations import Expiring
from lockstep.workflows.sql.replays import CREATE, DROP


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in CREATE:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in DROP:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """From here on it is noted what models say in runs, and a run can come from elsewhere."""

    dependencies = [
        ("lockstep_workflows", "0004_answers"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="run",
            options={
                "ordering": ["-at", "-id"],
                "permissions": [("export_run", "Can export runs with all that they say")],
            },
        ),
        migrations.AddField(
            model_name="run",
            name="origin",
            field=models.JSONField(
                blank=True,
                help_text="Of one that was imported: how it ended where it ran, and how it was exported.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="status",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("waiting", "waiting for a person, an event or a time"),
                    ("blocked", "blocked: this deploy cannot go on with it"),
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("dead", "dead: its workers died over it"),
                    ("imported", "imported: it ran elsewhere"),
                ],
                default="queued",
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="ModelAnswer",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "key",
                    models.CharField(
                        help_text="SHA-256 of the run, the task and the request.", max_length=64
                    ),
                ),
                ("ns", models.TextField(blank=True)),
                ("node", models.CharField(max_length=200)),
                ("task_id", models.CharField(max_length=64)),
                ("ordinal", models.IntegerField(help_text="0 for the first time that the task asked this.")),
                (
                    "request",
                    models.CharField(
                        help_text="SHA-256 of the messages, the model, its parameters and its tools.",
                        max_length=64,
                    ),
                ),
                ("feature", models.CharField(blank=True, max_length=100)),
                ("model", models.CharField(help_text="provider:name that answered.", max_length=300)),
                ("prompt", models.CharField(blank=True, max_length=200)),
                ("prompt_version", models.CharField(blank=True, max_length=64)),
                ("cost_micros", models.BigIntegerField(null=True)),
                ("answer", models.JSONField(help_text="Its messages.", null=True)),
                (
                    "kept_out",
                    models.CharField(
                        blank=True,
                        help_text="Which policy lets nothing exact of the answer be kept.",
                        max_length=20,
                    ),
                ),
                (
                    "subject",
                    models.CharField(blank=True, help_text="Pseudonym of the person.", max_length=64),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="answers",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["at"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run"], name="lockstep_workflows_answer_of"),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_answer_who",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunExport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("exact", "exact: with all that it says"),
                            ("redacted", "redacted: its shape, and what may be kept of the rest"),
                        ],
                        max_length=10,
                    ),
                ),
                ("actor", models.CharField(help_text="Who did it.", max_length=200)),
                ("digest", models.CharField(help_text="SHA-256 of the file's content.", max_length=64)),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="exports",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run"], name="lockstep_workflows_export_of"),
                    models.Index(fields=["at"], name="lockstep_workflows_export_at"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("actor", ""), _negated=True),
                        name="lockstep_workflows_export_by_someone",
                    )
                ],
            },
        ),
        Expiring("ModelAnswer", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
        migrations.RunPython(create, drop),
    ]
