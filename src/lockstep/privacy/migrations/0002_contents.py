from django.db import migrations

from lockstep.core.sql import contents
from lockstep.privacy.sql import payloads

OLD = (
    "DROP FUNCTION IF EXISTS"
    " lockstep_privacy_keep_v1(uuid, text, text, text, text, text, text, jsonb, text, interval)"
)


def fill(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            (schema,) = cursor.fetchone()
        schema_editor.execute(OLD, params=None)
        schema_editor.execute(payloads.keep(schema), params=None)


def empty(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(contents.NULL, params=None)


class Migration(migrations.Migration):
    """What was said in a call is kept in the step that settles it."""

    dependencies = [("lockstep_privacy", "0001_payloads"), ("lockstep_core", "0006_contents")]

    operations = [migrations.RunPython(fill, empty)]
