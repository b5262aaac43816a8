from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate


class PrivacyConfig(AppConfig):
    name = "lockstep.privacy"
    label = "lockstep_privacy"
    verbose_name = "Lockstep privacy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core.ports import redaction
        from lockstep.privacy import checks, payloads
        from lockstep.privacy.redaction import redactor
        from lockstep.privacy.rights import guards
        from lockstep.privacy.rights.checks import check_subjects

        register(checks.check_policies, "lockstep")
        register(checks.check_detectors, "lockstep")
        register(checks.check_encryption, "lockstep")
        register(checks.check_lifetimes, "lockstep")
        register(check_subjects, "lockstep")
        redaction.register(redactor)
        payloads.register()
        post_migrate.connect(guards.install, sender=self, dispatch_uid="lockstep_privacy.receipts")
