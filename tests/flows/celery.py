"""The Celery app of the tests: ``celery -A tests.flows.celery worker``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

app = Celery("flows", broker=os.environ.get("REDIS_URL"))
app.conf.worker_hijack_root_logger = False
app.conf.worker_prefetch_multiplier = 1
app.autodiscover_tasks()
