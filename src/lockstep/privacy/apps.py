from __future__ import annotations

from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    name = "lockstep.privacy"
    label = "lockstep_privacy"
    verbose_name = "Lockstep privacy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.privacy import payloads

        payloads.register()
