from datetime import timedelta

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.core.retention.operations import Expiring
from lockstep.workflows.sql import ANSWERS, NO_ANSWERS


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in ANSWERS:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in NO_ANSWERS:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """From here on what runs wait for can be answered, by people and by events from outside."""

    dependencies = [
        ("lockstep_workflows", "0003_tools"),
    ]

    operations = [
        migrations.CreateModel(
            name="InboundBody",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("data", models.JSONField(null=True)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "required_db_vendor": "postgresql",
            },
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(help_text="Who sends.", max_length=100, unique=True)),
                (
                    "token_digest",
                    models.CharField(
                        help_text="SHA-256 of the address's last part.", max_length=64, unique=True
                    ),
                ),
                (
                    "nonce",
                    models.CharField(
                        help_text="What the secret is made from, beside SECRET_KEY.", max_length=32
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        blank=True, help_text="Name of its events; empty: their type.", max_length=200
                    ),
                ),
                (
                    "key_path",
                    models.CharField(
                        blank=True, help_text="Where their key stands: data.order.id.", max_length=200
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                ("made_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["source"],
                "required_db_vendor": "postgresql",
            },
        ),
        migrations.AlterModelOptions(
            name="wait",
            options={"ordering": ["at"], "permissions": [("answer_wait", "Can answer what runs wait for")]},
        ),
        migrations.CreateModel(
            name="InboundEvent",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=100)),
                ("dedupe", models.CharField(help_text="The same again is the same event.", max_length=200)),
                ("name", models.CharField(max_length=200)),
                ("key", models.CharField(blank=True, max_length=200)),
                (
                    "subject",
                    models.CharField(blank=True, help_text="Pseudonym of the run's person.", max_length=64),
                ),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "looked_at",
                    models.DateTimeField(help_text="When somebody looked for who waits for it.", null=True),
                ),
                ("matched_at", models.DateTimeField(null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="lockstep_workflows.run",
                    ),
                ),
                (
                    "wait",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="lockstep_workflows.wait",
                    ),
                ),
            ],
            options={
                "ordering": ["-received_at", "-id"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(
                        condition=models.Q(("wait__isnull", True)),
                        fields=["name", "key", "received_at"],
                        name="lockstep_workflows_event_free",
                    ),
                    models.Index(
                        condition=models.Q(("looked_at__isnull", True)),
                        fields=["received_at"],
                        name="lockstep_workflows_event_new",
                    ),
                    models.Index(fields=["received_at"], name="lockstep_workflows_event_at"),
                    models.Index(fields=["run"], name="lockstep_workflows_event_of"),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_event_who",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "dedupe"), name="lockstep_workflows_event_once")
                ],
            },
        ),
        Expiring("InboundBody", keep=timedelta(days=7), most=timedelta(days=90)),
        migrations.RunPython(create, drop),
    ]
