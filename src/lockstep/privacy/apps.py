from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class PrivacyConfig(AppConfig):
    name = "lockstep.privacy"
    label = "lockstep_privacy"
    verbose_name = "Lockstep privacy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core.ports import redaction
        from lockstep.privacy import checks, payloads
        from lockstep.privacy.redaction import redactor

        register(checks.check_policies, "lockstep")
        register(checks.check_detectors, "lockstep")
        register(checks.check_encryption, "lockstep")
        redaction.register(redactor)
        payloads.register()
