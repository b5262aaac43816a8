from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Ending a call writes its row anew in every index that has it: two of them need few rows."""

    dependencies = [("lockstep_llm", "0004_content")]

    operations = [
        migrations.RemoveIndex("call", "lockstep_llm_call_prompt"),
        migrations.RemoveIndex("call", "lockstep_llm_call_invocation"),
        migrations.AddIndex(
            "call",
            models.Index(
                fields=["prompt", "prompt_version"], condition=~Q(prompt=""), name="lockstep_llm_call_prompt"
            ),
        ),
        migrations.AddIndex(
            "call",
            models.Index(
                fields=["invocation"], condition=Q(attempt__gt=1), name="lockstep_llm_call_invocation"
            ),
        ),
    ]
