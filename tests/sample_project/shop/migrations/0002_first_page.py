"""Data, as projects bring it along: written by historical models, which know no search."""

from django.db import migrations

from lockstep.search.operations import EmbedRecords


def write(apps, schema_editor):
    using = schema_editor.connection.alias
    brand = apps.get_model("shop", "Brand").objects.using(using).create(name="House brand")
    apps.get_model("shop", "Page").objects.using(using).create(
        title="Welcome", brand=brand, search_context=brand.name
    )


def erase(apps, schema_editor):
    using = schema_editor.connection.alias
    apps.get_model("shop", "Page").objects.using(using).all().delete()
    apps.get_model("shop", "Brand").objects.using(using).all().delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_products")]

    operations = [migrations.RunPython(write, erase), EmbedRecords("shop.Page")]
