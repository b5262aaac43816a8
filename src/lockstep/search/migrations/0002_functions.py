from django.db import migrations

from lockstep.search import ddl, sqlfunctions


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ddl.DIGEST, params=None)
        sqlfunctions.create_functions(schema_editor)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        sqlfunctions.drop_functions(schema_editor)
        schema_editor.execute("DROP FUNCTION IF EXISTS lockstep_digest_v1(text[])")


class Migration(migrations.Migration):
    dependencies = [("lockstep_search", "0001_vector")]

    operations = [migrations.RunPython(create, drop)]
