from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate, pre_migrate


class SearchConfig(AppConfig):
    name = "lockstep.search"
    label = "lockstep_search"
    verbose_name = "Lockstep search"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.search import checks, migrations_off, spaces

        register(checks.check_declarations, "lockstep", Tags.models)
        register(checks.check_database, "lockstep", Tags.database)
        pre_migrate.connect(migrations_off.prepare, sender=self, dispatch_uid="lockstep_search.prepare")
        post_migrate.connect(spaces.ensure_all, sender=self, dispatch_uid="lockstep_search.spaces")
        setting_changed.connect(_settings_changed, dispatch_uid="lockstep_search.settings")


def _settings_changed(*, setting: str, **_: Any) -> None:
    if setting in ("LOCKSTEP", "DATABASES"):
        from lockstep.search import spaces, vectors

        spaces.forget()
        vectors.reset_memory()
