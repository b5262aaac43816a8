"""Celery of the demo. ``celery -A demo worker`` is all that runs need: no beat, no result backend."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")

app = Celery("demo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # for every thread of the web server: Celery's current app is that of one thread only
