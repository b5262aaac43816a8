import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.datetime
import pgvector.django.indexes
import pgvector.django.vector
from django.db import migrations, models

import lockstep.search.constraints
import lockstep.search.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("lockstep_search", "0003_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeferredDoc",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=200, unique=True)),
                ("title", models.TextField(blank=True)),
                ("text", models.TextField(blank=True)),
                (
                    "part_number",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                (
                    "ean",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                ("brand", models.TextField(blank=True)),
                ("search_digest", lockstep.search.fields.DigestField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Doc",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=200, unique=True)),
                ("title", models.TextField(blank=True)),
                ("text", models.TextField(blank=True)),
                (
                    "part_number",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                (
                    "ean",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                ("brand", models.TextField(blank=True)),
                ("search_digest", lockstep.search.fields.DigestField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="DeferredDocSearchDocument",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("tsv", lockstep.search.fields.LexemesField()),
                ("ids", lockstep.search.fields.LexemesField()),
                (
                    "grams",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                ("length", models.IntegerField()),
                ("recipe", models.CharField(max_length=8)),
            ],
            options={
                "db_table": "catalogue_deferreddoc_search_document",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(fields=["tsv"], name="ls_b36497c1_tsv"),
                    django.contrib.postgres.indexes.GinIndex(fields=["ids"], name="ls_b36497c1_ids"),
                    django.contrib.postgres.indexes.GinIndex(fields=["grams"], name="ls_b36497c1_grams"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeferredDocSearchManifest",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("digest", models.UUIDField()),
                ("chunks", models.IntegerField()),
                ("truncated", models.BooleanField(default=False)),
                ("embedded_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "space",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="lockstep_search.space",
                    ),
                ),
            ],
            options={
                "db_table": "catalogue_deferreddoc_search_manifest",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
            },
        ),
        migrations.CreateModel(
            name="DeferredDocSearchPending",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("not_before", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("attempts", models.IntegerField(db_default=0)),
                ("error", models.TextField(blank=True, db_default="")),
            ],
            options={
                "db_table": "catalogue_deferreddoc_search_pending",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "indexes": [models.Index(fields=["not_before"], name="ls_b36497c1_due")],
            },
        ),
        migrations.CreateModel(
            name="DocSearchDocument",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("tsv", lockstep.search.fields.LexemesField()),
                ("ids", lockstep.search.fields.LexemesField()),
                (
                    "grams",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                ("length", models.IntegerField()),
                ("recipe", models.CharField(max_length=8)),
            ],
            options={
                "db_table": "catalogue_doc_search_document",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(fields=["tsv"], name="ls_6c280e19_tsv"),
                    django.contrib.postgres.indexes.GinIndex(fields=["ids"], name="ls_6c280e19_ids"),
                    django.contrib.postgres.indexes.GinIndex(fields=["grams"], name="ls_6c280e19_grams"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DocSearchManifest",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("digest", models.UUIDField()),
                ("chunks", models.IntegerField()),
                ("truncated", models.BooleanField(default=False)),
                ("embedded_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "space",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="lockstep_search.space",
                    ),
                ),
            ],
            options={
                "db_table": "catalogue_doc_search_manifest",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
            },
        ),
        migrations.CreateModel(
            name="DocSearchPending",
            fields=[
                ("record_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("not_before", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("attempts", models.IntegerField(db_default=0)),
                ("error", models.TextField(blank=True, db_default="")),
            ],
            options={
                "db_table": "catalogue_doc_search_pending",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "indexes": [models.Index(fields=["not_before"], name="ls_6c280e19_due")],
            },
        ),
        migrations.CreateModel(
            name="NaiveDoc",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=200, unique=True)),
                ("title", models.TextField(blank=True)),
                ("text", models.TextField(blank=True)),
                (
                    "part_number",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                (
                    "ean",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                ("brand", models.TextField(blank=True)),
                ("embedding", pgvector.django.vector.VectorField(dimensions=384)),
                ("search_vector", django.contrib.postgres.search.SearchVectorField(null=True)),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["search_vector"], name="naive_search_vector"
                    ),
                    pgvector.django.indexes.HnswIndex(
                        ef_construction=64,
                        fields=["embedding"],
                        m=16,
                        name="naive_embedding",
                        opclasses=["vector_cosine_ops"],
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeferredDocSearchChunk",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.UUIDField(null=True)),
                ("no", models.IntegerField()),
                ("start", models.IntegerField()),
                ("end", models.IntegerField()),
                ("text_key", models.UUIDField()),
                (
                    "record",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="catalogue.deferreddoc",
                    ),
                ),
            ],
            options={
                "db_table": "catalogue_deferreddoc_search_chunk",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "constraints": [
                    lockstep.search.constraints.InStep(
                        config="english",
                        context=None,
                        digest="search_digest",
                        identifiers=(("part_number", True), ("ean", True), ("brand", False)),
                        label="catalogue.DeferredDoc.search",
                        name="ls_b36497c1",
                        pk="id",
                        pk_kind="BigAutoField",
                        record="catalogue_deferreddoc",
                        strict=False,
                        tables=(
                            "catalogue_deferreddoc_search_document",
                            "catalogue_deferreddoc_search_manifest",
                            "catalogue_deferreddoc_search_pending",
                            "catalogue_deferreddoc_search_chunk",
                        ),
                        text=(("title", "A"), ("text", "B")),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DocSearchChunk",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.UUIDField(null=True)),
                ("no", models.IntegerField()),
                ("start", models.IntegerField()),
                ("end", models.IntegerField()),
                ("text_key", models.UUIDField()),
                (
                    "record",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="catalogue.doc",
                    ),
                ),
            ],
            options={
                "db_table": "catalogue_doc_search_chunk",
                "default_permissions": (),
                "required_db_vendor": "postgresql",
                "constraints": [
                    lockstep.search.constraints.InStep(
                        config="english",
                        context=None,
                        digest="search_digest",
                        identifiers=(("part_number", True), ("ean", True), ("brand", False)),
                        label="catalogue.Doc.search",
                        name="ls_6c280e19",
                        pk="id",
                        pk_kind="BigAutoField",
                        record="catalogue_doc",
                        strict=True,
                        tables=(
                            "catalogue_doc_search_document",
                            "catalogue_doc_search_manifest",
                            "catalogue_doc_search_pending",
                            "catalogue_doc_search_chunk",
                        ),
                        text=(("title", "A"), ("text", "B")),
                    )
                ],
            },
        ),
    ]
