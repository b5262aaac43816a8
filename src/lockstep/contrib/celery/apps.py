from __future__ import annotations

from django.apps import AppConfig


class CeleryConfig(AppConfig):
    """Here so that ``app.autodiscover_tasks()`` finds ``tasks``."""

    name = "lockstep.contrib.celery"
    label = "lockstep_celery"
    verbose_name = "Lockstep tasks"
