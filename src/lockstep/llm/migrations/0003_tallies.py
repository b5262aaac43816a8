from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("lockstep_llm", "0002_calls"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField(help_text="Its beginning.")),
                ("operation", models.CharField(max_length=20)),
                ("provider", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=200)),
                ("feature", models.CharField(blank=True, max_length=100)),
                ("calls", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("items", models.BigIntegerField(default=0, help_text="Texts embedded, passages re-ranked.")),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("latency_ms", models.BigIntegerField(default=0, help_text="Of all calls together.")),
            ],
            options={
                "verbose_name_plural": "tallies",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "operation", "provider", "model", "feature"),
                        name="lockstep_llm_tally_once",
                    )
                ],
            },
        ),
    ]
