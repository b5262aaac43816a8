from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate


class LlmConfig(AppConfig):
    name = "lockstep.llm"
    label = "lockstep_llm"
    verbose_name = "Lockstep calls"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core.ports import metering
        from lockstep.llm import checks, connection, keeping  # noqa: F401 -- connection listens for those of a test run
        from lockstep.llm.money import guards
        from lockstep.llm.money.checks import check_prices
        from lockstep.llm.recorder import Recorder

        register(checks.check_tracing, "lockstep", Tags.security)
        register(checks.check_providers, "lockstep")
        register(checks.check_database, "lockstep")
        register(check_prices, "lockstep", Tags.database)
        register(checks.check_bypass, "lockstep", Tags.security, deploy=True)
        register(checks.check_sentry, "lockstep", Tags.security, deploy=True)
        metering.register(Recorder())
        keeping.register()
        post_migrate.connect(guards.install, sender=self, dispatch_uid="lockstep_llm.money_guards")
        setting_changed.connect(_settings_changed, dispatch_uid="lockstep_llm.money_settings")


def _settings_changed(*, setting: str, **_: Any) -> None:
    if setting == "LOCKSTEP":
        from lockstep.llm.money.snapshot import priced_as

        priced_as.cache_clear()
