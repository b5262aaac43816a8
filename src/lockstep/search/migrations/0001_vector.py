from django.db import migrations

from lockstep.search.operations import PgVector


class Migration(migrations.Migration):
    """The extension, first and alone."""

    initial = True

    operations = [PgVector()]
