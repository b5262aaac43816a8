import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.llm.sql import calls, hooks


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (hooks.RESOLVE_NULL, hooks.RESERVE_NULL, hooks.SETTLE_NULL, *calls.CREATE):
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*calls.DROP, hooks.DROP_RESOLVE, hooks.DROP_RESERVE, hooks.DROP_SETTLE):
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """The ledger, and the functions that write it."""

    dependencies = [
        ("lockstep_core", "0002_switch_off"),
        ("lockstep_llm", "0001_money"),
    ]

    operations = [
        migrations.CreateModel(
            name="Call",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When it began, by the clock of the database.",
                    ),
                ),
                (
                    "operation",
                    models.CharField(
                        choices=[("chat", "chat"), ("embeddings", "embeddings"), ("rerank", "rerank")],
                        max_length=20,
                    ),
                ),
                ("feature", models.CharField(blank=True, max_length=100)),
                ("cohort", models.CharField(blank=True, max_length=100)),
                ("tenant", models.CharField(blank=True, max_length=100)),
                (
                    "user_key",
                    models.CharField(
                        blank=True, help_text="Pseudonym of the person it was made for.", max_length=64
                    ),
                ),
                ("prompt", models.CharField(blank=True, max_length=200)),
                ("prompt_version", models.CharField(blank=True, max_length=64)),
                ("arm", models.CharField(blank=True, max_length=64)),
                ("release_id", models.BigIntegerField(blank=True, null=True)),
                (
                    "provider",
                    models.CharField(help_text="Alias of the provider in LOCKSTEP.", max_length=100),
                ),
                ("endpoint", models.CharField(blank=True, max_length=300)),
                ("request_model", models.CharField(max_length=200)),
                ("response_model", models.CharField(blank=True, max_length=200)),
                ("invocation", models.UUIDField(help_text="Shared by the attempts of one call.")),
                ("attempt", models.SmallIntegerField(default=1)),
                ("run", models.CharField(blank=True, max_length=64)),
                ("node", models.CharField(blank=True, max_length=200)),
                ("trace_id", models.CharField(blank=True, max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("reserved", "under way"),
                            ("settled", "settled"),
                            ("lapsed", "never came back"),
                            ("refused", "refused"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("ok", "answered"),
                            ("error", "failed"),
                            ("cancelled", "cancelled"),
                            ("refused", "refused"),
                        ],
                        max_length=10,
                    ),
                ),
                ("error_type", models.CharField(blank=True, max_length=100)),
                ("finish_reason", models.CharField(blank=True, max_length=50)),
                (
                    "input_tokens",
                    models.IntegerField(blank=True, help_text="Cached ones included.", null=True),
                ),
                (
                    "output_tokens",
                    models.IntegerField(blank=True, help_text="Reasoning included.", null=True),
                ),
                ("cache_read_tokens", models.IntegerField(blank=True, null=True)),
                ("cache_write_tokens", models.IntegerField(blank=True, null=True)),
                ("reasoning_tokens", models.IntegerField(blank=True, null=True)),
                (
                    "usage_source",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("provider", "counted by the provider"),
                            ("bound", "charged at its bound"),
                            ("none", "nothing to charge"),
                        ],
                        max_length=10,
                    ),
                ),
                ("bound_input", models.IntegerField(help_text="Tokens that the input can be at most.")),
                ("bound_output", models.IntegerField(help_text="Tokens that the answer can be at most.")),
                ("price_id", models.BigIntegerField(blank=True, null=True)),
                ("rate_id", models.BigIntegerField(blank=True, null=True)),
                ("currency", models.CharField(max_length=3)),
                (
                    "bound_micros",
                    models.BigIntegerField(
                        blank=True, help_text="Millionths; what it may cost at most.", null=True
                    ),
                ),
                (
                    "cost_micros",
                    models.BigIntegerField(
                        blank=True, help_text="Millionths; empty: nobody knows the price.", null=True
                    ),
                ),
                ("latency_ms", models.IntegerField(blank=True, null=True)),
                ("first_token_ms", models.IntegerField(blank=True, null=True)),
                (
                    "tools",
                    models.JSONField(
                        blank=True, default=list, help_text="[{id, name, ok}]: what the model wanted called."
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "result",
                    models.CharField(
                        blank=True, help_text="What became of it for the business.", max_length=50
                    ),
                ),
                ("result_value", models.DecimalField(blank=True, decimal_places=4, max_digits=18, null=True)),
                ("result_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(fields=["-at", "-id"], name="lockstep_llm_call_at"),
                    models.Index(fields=["feature", "-at"], name="lockstep_llm_call_feature"),
                    models.Index(fields=["prompt", "prompt_version"], name="lockstep_llm_call_prompt"),
                    models.Index(
                        condition=models.Q(("state", "reserved")),
                        fields=["expires_at"],
                        name="lockstep_llm_call_lapsing",
                    ),
                    models.Index(fields=["invocation"], name="lockstep_llm_call_invocation"),
                    models.Index(
                        condition=models.Q(("run", ""), _negated=True),
                        fields=["run"],
                        name="lockstep_llm_call_run",
                    ),
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
