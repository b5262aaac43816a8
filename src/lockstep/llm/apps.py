from __future__ import annotations

from django.apps import AppConfig


class LlmConfig(AppConfig):
    name = "lockstep.llm"
    label = "lockstep_llm"
    verbose_name = "Lockstep calls"
    default_auto_field = "django.db.models.BigAutoField"
