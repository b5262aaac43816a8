from django.db import migrations, models


class Migration(migrations.Migration):
    """The newest payloads are found without sorting all of them; reading encrypted ones is a right of its own."""

    dependencies = [("lockstep_privacy", "0002_contents")]

    operations = [
        migrations.AlterModelOptions(
            name="payload",
            options={"permissions": [("reveal_payload", "Can read encrypted content")]},
        ),
        migrations.AddIndex(
            model_name="payload",
            index=models.Index(fields=["at"], name="lockstep_privacy_payload_new"),
        ),
    ]
