from datetime import timedelta

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.core.retention.operations import Expiring


class Migration(migrations.Migration):
    """Runs, and their content, which expires."""

    initial = True

    dependencies = [("lockstep_core", "0006_contents")]

    operations = [
        migrations.CreateModel(
            name="GraphVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("workflow", models.CharField(max_length=100)),
                ("version", models.CharField(max_length=50)),
                ("digest", models.CharField(help_text="SHA-256 of the topology.", max_length=64)),
                ("topology", models.JSONField(help_text="Nodes, edges and channels.")),
                ("first_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["workflow", "-first_seen_at"],
                "required_db_vendor": "postgresql",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workflow", "version", "digest"), name="lockstep_workflows_graph_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("workflow", models.CharField(max_length=100)),
                ("version", models.CharField(max_length=50)),
                (
                    "thread",
                    models.CharField(
                        help_text="Runs of one thread go on from each other's state.", max_length=200
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("waiting", "waiting for a person, an event or a time"),
                            ("blocked", "blocked: this deploy cannot go on with it"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("dead", "dead: its workers died over it"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True, help_text="Why it stands or ended, as a name.", max_length=100
                    ),
                ),
                ("node", models.CharField(blank=True, help_text="Where.", max_length=200)),
                (
                    "user_id",
                    models.CharField(blank=True, help_text="Key of the user it runs for.", max_length=255),
                ),
                (
                    "user_key",
                    models.CharField(blank=True, help_text="Pseudonym of that user.", max_length=64),
                ),
                ("feature", models.CharField(blank=True, max_length=100)),
                ("cohort", models.CharField(blank=True, max_length=100)),
                ("tenant", models.CharField(blank=True, max_length=100)),
                ("idempotency_key", models.CharField(max_length=200, null=True)),
                ("input_digest", models.CharField(blank=True, max_length=64)),
                (
                    "epoch",
                    models.BigIntegerField(
                        default=0, help_text="Number of its owners: each write carries it."
                    ),
                ),
                ("owner", models.CharField(blank=True, max_length=200)),
                ("owner_pid", models.IntegerField(help_text="Its session at the database.", null=True)),
                ("owner_since", models.DateTimeField(help_text="When that session began.", null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("wake_at", models.DateTimeField(null=True)),
                ("rung_at", models.DateTimeField(help_text="When a worker was last told of it.", null=True)),
                ("cancel_requested", models.BooleanField(default=False)),
                ("crash_count", models.SmallIntegerField(default=0)),
                ("transitions", models.IntegerField(default=0)),
                ("head", models.CharField(blank=True, help_text="Its latest checkpoint.", max_length=64)),
                (
                    "rolls_back",
                    models.JSONField(
                        blank=True, default=list, help_text="Runs whose state it undoes when it begins."
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(help_text="Nobody reads its content any more.")),
            ],
            options={
                "ordering": ["-at", "-id"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["-at"], name="lockstep_workflows_run_at"),
                    models.Index(fields=["thread", "at"], name="lockstep_workflows_run_thread"),
                    models.Index(
                        condition=models.Q(("status", "running")),
                        fields=["id"],
                        name="lockstep_workflows_run_owned",
                    ),
                    models.Index(
                        condition=models.Q(("status", "queued")),
                        fields=["at"],
                        name="lockstep_workflows_run_queued",
                    ),
                    models.Index(
                        condition=models.Q(("status", "waiting"), ("wake_at__isnull", False)),
                        fields=["wake_at"],
                        name="lockstep_workflows_run_wakes",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ("queued", "running", "waiting", "blocked"))),
                        fields=["expires_at"],
                        name="lockstep_workflows_run_expires",
                    ),
                    models.Index(
                        condition=models.Q(("user_key", ""), _negated=True),
                        fields=["user_key"],
                        name="lockstep_workflows_run_of",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workflow", "idempotency_key"), name="lockstep_workflows_run_once"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("running", "waiting", "blocked"))),
                        fields=("thread",),
                        name="lockstep_workflows_one_at_a_thread",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="NodeExecution",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("epoch", models.BigIntegerField()),
                ("ns", models.TextField(blank=True)),
                ("step", models.IntegerField(null=True)),
                ("node", models.CharField(max_length=200)),
                ("task_id", models.CharField(max_length=64)),
                ("attempt", models.SmallIntegerField(default=1)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("ok", "Ok"),
                            ("error", "Error"),
                            ("waiting", "stopped to wait"),
                            ("died", "its worker died"),
                        ],
                        max_length=10,
                    ),
                ),
                ("error_kind", models.CharField(blank=True, max_length=200)),
                (
                    "output_digest",
                    models.CharField(blank=True, help_text="SHA-256 of what it wrote.", max_length=64),
                ),
                ("checkpoint", models.CharField(help_text="The state that it was given.", max_length=64)),
                ("started_at", models.DateTimeField(null=True)),
                ("elapsed_ms", models.FloatField(null=True)),
                ("worker", models.CharField(blank=True, max_length=200)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="nodes",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["run", "id"],
                "required_db_vendor": "postgresql",
                "indexes": [models.Index(fields=["run", "id"], name="lockstep_workflows_node_of")],
            },
        ),
        migrations.CreateModel(
            name="CheckpointWrite",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("thread", models.TextField()),
                ("ns", models.TextField(blank=True)),
                ("checkpoint_id", models.CharField(max_length=100)),
                ("task_id", models.CharField(max_length=64)),
                ("task_path", models.TextField(blank=True)),
                ("writes", models.JSONField(help_text="Place -> [channel, value].")),
                ("epoch", models.BigIntegerField(null=True)),
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
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(
                        fields=["thread", "ns", "checkpoint_id"], name="lockstep_workflows_write_of"
                    ),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_write_who",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("thread", models.TextField()),
                (
                    "ns",
                    models.CharField(
                        blank=True,
                        help_text="Path of the subgraph; empty for the graph itself.",
                        max_length=1000,
                    ),
                ),
                ("checkpoint_id", models.CharField(max_length=100)),
                ("parent_id", models.CharField(blank=True, max_length=100)),
                ("epoch", models.BigIntegerField(null=True)),
                ("step", models.IntegerField(null=True)),
                ("source", models.CharField(blank=True, max_length=20)),
                ("state", models.JSONField(help_text="Values of the channels.")),
                (
                    "meta",
                    models.JSONField(
                        help_text="Versions of the channels and what LangGraph notes beside them."
                    ),
                ),
                ("digest", models.CharField(blank=True, help_text="SHA-256 of the state.", max_length=64)),
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
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(
                        fields=["thread", "ns", "-checkpoint_id"], name="lockstep_workflows_cp_latest"
                    ),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_cp_who",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunContent",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=20)),
                ("data", models.JSONField()),
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
                        related_name="contents",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run", "kind"], name="lockstep_workflows_content_of"),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_content_who",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Wait",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("interrupt_id", models.CharField(max_length=64)),
                ("task_id", models.CharField(max_length=64)),
                ("ns", models.TextField(blank=True)),
                ("node", models.CharField(blank=True, max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("review", "Review"),
                            ("event", "Event"),
                            ("timer", "Timer"),
                            ("input", "an interrupt of the graph's own"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("answered", "Answered"),
                            ("expired", "Expired"),
                            ("withdrawn", "withdrawn: the run ended"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        blank=True, help_text="The action to review, or the event.", max_length=200
                    ),
                ),
                ("key", models.CharField(blank=True, help_text="Which one of these events.", max_length=200)),
                (
                    "digest",
                    models.CharField(blank=True, help_text="SHA-256 of what is asked.", max_length=64),
                ),
                (
                    "assignee",
                    models.CharField(blank=True, help_text="Group that may answer.", max_length=150),
                ),
                ("payload", models.JSONField(null=True)),
                ("schema", models.JSONField(help_text="JSON schema of an answer.", null=True)),
                ("due_at", models.DateTimeField(help_text="No answer is taken later.", null=True)),
                ("answer", models.JSONField(null=True)),
                ("decision", models.CharField(blank=True, max_length=20)),
                ("answered_by", models.CharField(blank=True, max_length=255)),
                ("answered_at", models.DateTimeField(null=True)),
                (
                    "taken_at",
                    models.DateTimeField(help_text="When the run went on with the answer.", null=True),
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
                        related_name="waits",
                        to="lockstep_workflows.run",
                    ),
                ),
            ],
            options={
                "ordering": ["at"],
                "required_db_vendor": "postgresql",
                "indexes": [
                    models.Index(fields=["run"], name="lockstep_workflows_wait_of"),
                    models.Index(
                        condition=models.Q(("status", "open")),
                        fields=["kind", "name", "key"],
                        name="lockstep_workflows_wait_open",
                    ),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False), ("status", "open")),
                        fields=["due_at"],
                        name="lockstep_workflows_wait_due",
                    ),
                    models.Index(
                        condition=models.Q(("subject", ""), _negated=True),
                        fields=["subject"],
                        name="lockstep_workflows_wait_who",
                    ),
                ],
            },
        ),
        Expiring("RunContent", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
        Expiring("Checkpoint", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
        Expiring("CheckpointWrite", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
        Expiring("Wait", keep=timedelta(days=30), most=timedelta(days=90), subject="subject"),
    ]
