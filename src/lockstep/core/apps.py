from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class CoreConfig(AppConfig):
    name = "lockstep.core"
    label = "lockstep_core"
    verbose_name = "Lockstep"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from lockstep.core import checks, ports
        from lockstep.core.notify import housekeeping
        from lockstep.core.notify.outbox import Outbox
        from lockstep.core.retention import ageing
        from lockstep.core.retention.checks import check_retention, check_roles

        autodiscover_modules("features")
        register(checks.check_settings, "lockstep", Tags.compatibility)
        register(checks.check_sinks, "lockstep")
        register(check_retention, "lockstep", Tags.database)
        register(check_roles, "lockstep", Tags.database, deploy=True)
        ports.notify.register(Outbox())
        ports.jobs.register("lockstep_core.notices", ports.Job(housekeeping.tidy, housekeeping.EVERY_S))
        ports.jobs.register("lockstep_core.ageing", ports.Job(ageing.delete_old, ageing.EVERY_S))
        post_migrate.connect(sync_features, sender=self, dispatch_uid="lockstep_core.sync_features")
        post_migrate.connect(sync_retention, sender=self, dispatch_uid="lockstep_core.sync_retention")


def sync_features(*, using: str, **_: Any) -> None:
    """Bring the feature table in line with the code, the way permissions are after migrate."""
    from django.db import connections, router

    from lockstep.core.features import declared
    from lockstep.core.models import Feature

    present = Feature._meta.db_table in connections[using].introspection.table_names()
    if present and router.allow_migrate_model(using, Feature):
        Feature.objects.using(using).sync(declared())


def sync_retention(*, using: str, **_: Any) -> None:
    """Write the lifetimes of the registry and the settings into the database, which keeps to them."""
    from lockstep.core.retention.policies import install

    install(using)
