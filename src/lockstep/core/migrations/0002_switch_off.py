from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("lockstep_core", "0001_features"),
    ]

    operations = [
        migrations.AddField(
            model_name="feature",
            name="enabled",
            field=models.BooleanField(
                default=True,
                help_text="Off: the very next call is refused. Nothing in the code turns it on again.",
            ),
        ),
    ]
