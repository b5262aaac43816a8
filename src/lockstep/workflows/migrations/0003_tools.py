from datetime import timedelta

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.core.retention.operations import Expiring
from lockstep.workflows.sql.starting import EXPIRY, RETRY
from lockstep.workflows.sql.tools import CREATE, DROP


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (EXPIRY, RETRY, *CREATE):
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in DROP:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """From here on no tool's effect is repeated because nobody remembers it."""

    dependencies = [
        ("lockstep_workflows", "0002_functions"),
    ]

    operations = [
        migrations.CreateModel(
            name="ToolAttempt",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("call", models.UUIDField(help_text="The ToolCall.")),
                ("tool", models.CharField(max_length=200)),
                (
                    "effect",
                    models.CharField(
                        choices=[
                            ("pure", "pure: may be repeated at will"),
                            ("keyed", "keyed: may be repeated with the same idempotency key"),
                            ("at_most_once", "at most once: never repeated by itself"),
                        ],
                        max_length=12,
                    ),
                ),
                ("node", models.CharField(blank=True, max_length=200)),
                ("number", models.SmallIntegerField()),
                ("epoch", models.BigIntegerField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("begun", "just being made"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("unknown", "nobody knows whether it was done"),
                            ("cancelled", "Cancelled"),
                            ("lost", "its worker died"),
                        ],
                        default="begun",
                        max_length=10,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        blank=True, help_text="transient, permanent, unknown or cancelled.", max_length=10
                    ),
                ),
                ("error_kind", models.CharField(blank=True, max_length=200)),
                ("http_status", models.SmallIntegerField(null=True)),
                ("elapsed_ms", models.FloatField(null=True)),
                ("worker", models.CharField(blank=True, max_length=200)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["at"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run", "at"], name="lockstep_workflows_attempts_of"),
                    models.Index(fields=["at"], name="lockstep_workflows_attempts_at"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ToolCall",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "key",
                    models.CharField(
                        help_text="SHA-256 of the run, the task, the tool and its arguments.", max_length=64
                    ),
                ),
                (
                    "external_key",
                    models.CharField(
                        blank=True, help_text="Idempotency key that it was given.", max_length=255
                    ),
                ),
                ("tool", models.CharField(max_length=200)),
                (
                    "effect",
                    models.CharField(
                        choices=[
                            ("pure", "pure: may be repeated at will"),
                            ("keyed", "keyed: may be repeated with the same idempotency key"),
                            ("at_most_once", "at most once: never repeated by itself"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("intent", "about to be done, or just being done"),
                            ("parked", "to be tried again"),
                            ("unknown", "nobody knows whether it was done"),
                            ("asked", "a person is to say what becomes of it"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="intent",
                        max_length=10,
                    ),
                ),
                ("epoch", models.BigIntegerField(help_text="Owner that made the latest attempt.")),
                ("attempt", models.UUIDField(help_text="The latest attempt.")),
                ("attempts", models.SmallIntegerField(default=1)),
                (
                    "spent",
                    models.SmallIntegerField(
                        default=0, help_text="Attempts before somebody tried the run again."
                    ),
                ),
                (
                    "kind",
                    models.CharField(blank=True, help_text="How the latest attempt failed.", max_length=10),
                ),
                ("error_kind", models.CharField(blank=True, max_length=200)),
                ("ns", models.TextField(blank=True)),
                ("node", models.CharField(blank=True, max_length=200)),
                ("task_id", models.CharField(max_length=64)),
                ("args", models.JSONField()),
                ("result", models.JSONField(null=True)),
                ("error", models.JSONField(null=True)),
                (
                    "stops",
                    models.JSONField(
                        default=list, help_text="What its node has stopped for in this call, in order."
                    ),
                ),
                (
                    "settled_by",
                    models.CharField(
                        blank=True,
                        help_text="Who said how it ended, where it was not the call itself.",
                        max_length=255,
                    ),
                ),
                ("next_at", models.DateTimeField(help_text="Not tried again before.", null=True)),
                (
                    "subject",
                    models.CharField(blank=True, help_text="Pseudonym of the person.", max_length=64),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField()),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="tools",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["at"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run"], name="lockstep_workflows_tool_of"),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_tool_who",
                    ),
                ],
            },
        ),
        Expiring("ToolCall", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
        migrations.RunPython(create, drop),
    ]
