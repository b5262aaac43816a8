from decimal import Decimal

import django.db.models.functions.datetime
from django.db import migrations, models

from lockstep.llm.sql import money


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in money.CREATE:
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in money.DROP:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    """Prices and exchange rates that cannot be rewritten, and the functions that charge a call."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "provider",
                    models.CharField(help_text="Alias of the provider in LOCKSTEP.", max_length=100),
                ),
                ("model", models.CharField(help_text="The name that prices are kept under.", max_length=200)),
                (
                    "source",
                    models.CharField(
                        choices=[("contract", "contract"), ("tariff", "own tariff"), ("list", "list price")],
                        help_text="A contract goes before a tariff, that before a list.",
                        max_length=10,
                    ),
                ),
                ("currency", models.CharField(help_text="ISO 4217: USD, GBP …", max_length=3)),
                (
                    "min_input_tokens",
                    models.IntegerField(default=0, help_text="Tier: holds from so many input tokens."),
                ),
                (
                    "input",
                    models.DecimalField(decimal_places=9, help_text="Per million tokens.", max_digits=18),
                ),
                (
                    "output",
                    models.DecimalField(
                        decimal_places=9, help_text="Per million, reasoning included.", max_digits=18
                    ),
                ),
                (
                    "cache_read",
                    models.DecimalField(
                        blank=True,
                        decimal_places=9,
                        help_text="Per million; empty: as input.",
                        max_digits=18,
                        null=True,
                    ),
                ),
                (
                    "cache_write",
                    models.DecimalField(
                        blank=True,
                        decimal_places=9,
                        help_text="Per million; empty: as input.",
                        max_digits=18,
                        null=True,
                    ),
                ),
                (
                    "per_request",
                    models.DecimalField(
                        decimal_places=9, default=Decimal("0"), help_text="Fee of each call.", max_digits=18
                    ),
                ),
                (
                    "daily_from",
                    models.TimeField(blank=True, help_text="Holds from this time of day (UTC).", null=True),
                ),
                (
                    "daily_to",
                    models.TimeField(blank=True, help_text="Holds until this time of day (UTC).", null=True),
                ),
                ("valid_from", models.DateTimeField()),
                (
                    "valid_to",
                    models.DateTimeField(blank=True, help_text="Empty while the price is open.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=500)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "db_table": "lockstep_llm_price",
                "ordering": ["provider", "model", "-valid_from", "min_input_tokens", "id"],
                "indexes": [models.Index(fields=["provider", "model"], name="lockstep_llm_price_of")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("source__in", ["contract", "tariff", "list"])),
                        name="lockstep_llm_price_source",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")),
                        name="lockstep_llm_price_currency",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("input__range", (0, Decimal("1000000"))),
                            ("output__range", (0, Decimal("1000000"))),
                            ("per_request__range", (0, Decimal("1000000"))),
                            models.Q(
                                ("cache_read", None),
                                ("cache_read__range", (0, Decimal("1000000"))),
                                _connector="OR",
                            ),
                            models.Q(
                                ("cache_write", None),
                                ("cache_write__range", (0, Decimal("1000000"))),
                                _connector="OR",
                            ),
                            ("min_input_tokens__gte", 0),
                        ),
                        name="lockstep_llm_price_amounts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_to", None), ("valid_to__gte", models.F("valid_from")), _connector="OR"
                        ),
                        name="lockstep_llm_price_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("daily_from", None), ("daily_to", None)),
                            models.Q(("daily_from__isnull", False), ("daily_to__isnull", False)),
                            _connector="OR",
                        ),
                        name="lockstep_llm_price_hours",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Rate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("base", models.CharField(help_text="Currency of the price: USD.", max_length=3)),
                ("quote", models.CharField(help_text="Currency of the ledger: GBP.", max_length=3)),
                ("rate", models.DecimalField(decimal_places=9, max_digits=18)),
                ("on_date", models.DateField()),
                ("source", models.CharField(help_text="Who published it.", max_length=200)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "db_table": "lockstep_llm_rate",
                "ordering": ["base", "quote", "-on_date", "-id"],
                "indexes": [
                    models.Index(fields=["base", "quote", "-on_date", "-id"], name="lockstep_llm_rate_of")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("base__regex", "^[A-Z]{3}$"),
                            ("quote__regex", "^[A-Z]{3}$"),
                            models.Q(("base", models.F("quote")), _negated=True),
                        ),
                        name="lockstep_llm_rate_currencies",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate__gt", 0), ("rate__lt", Decimal("1000000000"))),
                        name="lockstep_llm_rate_positive",
                    ),
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
